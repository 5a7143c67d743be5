import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    scopes: ReadonlySet<Scope>
  }
  interface FastifyContextConfig {
    /** The scope a key needs for this route; without one the route is open. */
    scope?: Scope
  }
}

export const SCOPES = ['users:read', 'users:write', 'credentials:read', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** The secret itself is not kept. */
export interface ApiKey {
  name: string
  scopes: Scope[]
  secretDigest: Buffer
}

const digestOf = (secret: string) => createHash('sha256').update(secret).digest()
const isScope = (text: string): text is Scope => SCOPES.some((scope) => scope === text)

/** Reads `name=scope+scope=secret`, commas between keys. Throws an Error that names the faulty key, never its secret. */
export function parseApiKeys(text: string): ApiKey[] {
  if (text === '') return []
  const keys = text.split(',').map((entry): ApiKey => {
    const [, name = '', scopeList = '', secret = ''] = /^([^=]*)=([^=]*)=(.*)$/s.exec(entry.trim()) ?? []
    if (!/^[\w.-]{1,64}$/.test(name)) throw new Error('expects name=scope+scope=secret, with commas between keys')
    const scopes = scopeList.split('+')
    if (!scopes.every(isScope))
      throw new Error(`has a key ${name} with a scope that is not one of ${SCOPES.join(', ')}`)
    if (secret.length < 32) throw new Error(`has a key ${name} whose secret is shorter than 32 characters`)
    return { name, scopes: scopes.includes('admin') ? [...SCOPES] : scopes, secretDigest: digestOf(secret) }
  })
  if (new Set(keys.map(({ name }) => name)).size < keys.length) throw new Error('names a key twice')
  return keys
}

/** Whether an address to listen on can be reached from this machine alone. */
export const isLoopback = (host: string) => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/**
 * Lets a request pass to a route with a `scope` only by `Authorization: Bearer <key>` of that scope; sets
 * `request.scopes`. With no key configured (loopback only, as the config sees to) every request has every scope.
 * Secrets are compared by digest, each with each, in constant time.
 */
export const authentication = plugin<{ apiKeys: ApiKey[] }>(
  (app: FastifyInstance, { apiKeys }, done) => {
    const all: ReadonlySet<Scope> = new Set(SCOPES)
    const none: ReadonlySet<Scope> = new Set()
    app.decorateRequest('scopes')
    app.addHook('onRequest', (request, _reply, next) => {
      request.scopes = apiKeys.length === 0 ? all : (scopesOf(request, apiKeys) ?? none)
      const { scope } = request.routeOptions.config
      if (scope === undefined || request.scopes.has(scope)) return next()
      if (request.scopes.size === 0) {
        const headers = { 'www-authenticate': 'Bearer realm="usersync"' }
        return next(new Problem('unauthorized', 'Send Authorization: Bearer <key> with a configured key.', { headers }))
      }
      next(new Problem('forbidden', `The key needs the scope ${scope}.`))
    })
    done()
  },
  { name: 'authentication' },
)

function scopesOf(request: FastifyRequest, apiKeys: ApiKey[]): ReadonlySet<Scope> | undefined {
  const [, secret] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  if (secret === undefined) return undefined
  const digest = digestOf(secret)
  let found: ApiKey | undefined
  for (const key of apiKeys) if (timingSafeEqual(key.secretDigest, digest)) found = key
  return found && new Set(found.scopes)
}

/** Throws `forbidden` unless the request's key has the scope: for parameters that need more than their route. */
export function requireScope(request: FastifyRequest, scope: Scope, forWhat: string): void {
  if (!request.scopes.has(scope)) throw new Problem('forbidden', `${forWhat} needs a key with the scope ${scope}.`)
}
