import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import { type ApiKey, digestOf, SCOPES, type Scope } from './api-keys.ts'
import type { Keyring } from './keyring.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The key that came with the request. */
    apiKey: ApiKey | undefined
    /** What the request may do: in any pool until its pool is known, then in that pool (see poolAccess). */
    scopes: ReadonlySet<Scope>
  }
  interface FastifyContextConfig {
    /** The scope a key needs for this route; without one the route is open. */
    scope?: Scope
  }
}

const ALL: ReadonlySet<Scope> = new Set(SCOPES)
const NONE: ReadonlySet<Scope> = new Set()

/**
 * Finds the key of a request, from `Authorization: Bearer <key>`, and its scopes. Without a keyring (loopback only, see
 * config.ts) every request has every scope. This refuses nothing, so that limits count a request before it is refused.
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

/** Refuses a request whose key lacks the scope of the route in every pool: 401 without a valid key, else 403. */
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

/** Compares the secret with that of every key, by digest and in constant time. */
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

/** Throws `forbidden` unless the request's key has the scope: for parameters that need more than their route. */
export function requireScope(request: FastifyRequest, scope: Scope, forWhat: string): void {
  if (!request.scopes.has(scope)) throw new Problem('forbidden', `${forWhat} needs a key with the scope ${scope}.`)
}
