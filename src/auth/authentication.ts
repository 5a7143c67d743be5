import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { type ApiKey, digestOf, SCOPES, type Scope } from '../config/api-keys.ts'
import { Problem } from '../errors.ts'
import type { Keyring } from './keyring.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key of the request. */
    apiKey: ApiKey | undefined
    /** The scopes of the request: in any pool until its pool is known, then in that pool (see poolAccess). */
    scopes: ReadonlySet<Scope>
  }
  interface FastifyContextConfig {
    /** The scope that a key needs for this route. Without one, the route is open. */
    scope?: Scope
  }
}

const ALL: ReadonlySet<Scope> = new Set(SCOPES)
const NONE: ReadonlySet<Scope> = new Set()

/**
 * Finds the key of a request, from `Authorization: Bearer <key>`, and its scopes. Without a keyring (loopback only, see
 * config.ts) every request has every scope. Rejects nothing itself, so that limits count a request before it is rejected.
 */
export const authentication = plugin<{ keyring: Keyring | undefined }>(
  (app: FastifyInstance, { keyring }, done) => {
    app.decorateRequest('apiKey')
    app.decorateRequest('scopes')
    app.addHook('onRequest', (request, _reply, next) => {
      request.apiKey = keyring && keyOf(request, keyring.keys())
      request.scopes = keyring ? scopesAnywhere(request.apiKey) : ALL
      next()
    })
    done()
  },
  { name: 'authentication' },
)

/** Rejects a request whose key lacks the route's scope in every pool: 401 without a valid key, otherwise 403. */
export const authorization = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', (request, _reply, next) => {
      const { scope } = request.routeOptions.config
      if (scope === undefined || request.scopes.has(scope)) return next()
      if (request.scopes.size > 0) return next(lacksScope(scope))
      const headers = { 'www-authenticate': 'Bearer realm="usersync"' }
      next(new Problem('unauthorized', 'Send Authorization: Bearer <key> with a configured key.', { headers }))
    })
    done()
  },
  { name: 'authorization', dependencies: ['authentication'] },
)

/** Compares the digest of the secret with that of every key, in constant time. */
function keyOf(request: FastifyRequest, apiKeys: readonly ApiKey[]): ApiKey | undefined {
  const [, secret] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  if (secret === undefined) return undefined
  const digest = digestOf(secret)
  let found: ApiKey | undefined
  for (const key of apiKeys) if (timingSafeEqual(key.secretDigest, digest)) found = key
  return found
}

function scopesAnywhere(key: ApiKey | undefined): ReadonlySet<Scope> {
  if (key === undefined) return NONE
  if (key.poolScopes.size === 0) return key.scopes
  return new Set([key.scopes, ...key.poolScopes.values()].flatMap((scopes) => [...scopes]))
}

export const lacksScope = (scope: Scope) => new Problem('forbidden', `The key needs the scope ${scope}.`)

/** Throws `forbidden` unless the request's key has the scope. For parameters that need more than their route. */
export function requireScope(request: FastifyRequest, scope: Scope, forWhat: string): void {
  if (!request.scopes.has(scope)) throw new Problem('forbidden', `${forWhat} needs a key with the scope ${scope}.`)
}
