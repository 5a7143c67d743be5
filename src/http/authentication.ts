import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'
import { type ApiKey, digestOf, SCOPES, type Scope } from './api-keys.ts'
import type { Keyring } from './keyring.ts'

declare module 'fastify' {
  interface FastifyRequest {
    scopes: ReadonlySet<Scope>
    /** Of the key that came with the request. */
    keyName: string | undefined
  }
  interface FastifyContextConfig {
    /** The scope a key needs for this route; without one the route is open. */
    scope?: Scope
  }
}

/**
 * Lets a request pass to a route with a `scope` only by `Authorization: Bearer <key>` of that scope; sets
 * `request.scopes`. Without a keyring (loopback only, as the config sees to) every request has every scope. Secrets are
 * compared by digest, each with each, in constant time.
 */
export const authentication = plugin<{ keyring: Keyring | undefined }>(
  (app: FastifyInstance, { keyring }, done) => {
    const all: ReadonlySet<Scope> = new Set(SCOPES)
    app.decorateRequest('scopes')
    app.decorateRequest('keyName')
    app.addHook('onRequest', (request, _reply, next) => {
      const key = keyring && keyOf(request, keyring.keys())
      request.keyName = key?.name
      request.scopes = keyring ? new Set(key?.scopes) : all
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

function keyOf(request: FastifyRequest, apiKeys: readonly ApiKey[]): ApiKey | undefined {
  const [, secret] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  if (secret === undefined) return undefined
  const digest = digestOf(secret)
  let found: ApiKey | undefined
  for (const key of apiKeys) if (timingSafeEqual(key.secretDigest, digest)) found = key
  return found
}

/** Throws `forbidden` unless the request's key has the scope: for parameters that need more than their route. */
export function requireScope(request: FastifyRequest, scope: Scope, forWhat: string): void {
  if (!request.scopes.has(scope)) throw new Problem('forbidden', `${forWhat} needs a key with the scope ${scope}.`)
}
