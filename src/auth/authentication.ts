import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import { type ApiKey, digestOf, SCOPES, type Scope, scopesIn } from '../config/api-keys.ts'
import { Problem } from '../errors.ts'
import { hasPool, poolOf } from '../pools/pool-parameter.ts'
import { poolNotFound } from '../pools/pools.ts'
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
    /** The route also takes the key as the password of Basic (RFC 7617), for clients that can send nothing else. */
    basicAuth?: true
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
      next(unauthorized(request))
    })
    done()
  },
  { name: 'authorization', dependencies: ['authentication'] },
)

/**
 * Determines the pool of each request and narrows `request.scopes` to those of its key in that pool. If the key has no scope there,
 * the pool does not exist for it. Sets `query.pool`, so that a route cannot use another pool than the one that was checked.
 */
export const poolAccess = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRoute', ({ url, method, config, schema }) => {
      if (config?.scope === undefined || config.scope === 'admin' || hasPool(schema?.querystring)) return
      throw new Error(`${method} ${url} must have the parameter pool, or need admin: scopes are bound to pools`)
    })
    app.addHook('preHandler', (request, _reply, next) => {
      const { scope } = request.routeOptions.config
      // `admin` is never bound to a pool.
      if (scope === undefined || scope === 'admin') return next()
      try {
        const pool = poolOf(request)
        ;(request.query as { pool: string }).pool = pool
        const { apiKey } = request
        if (!apiKey || apiKey.poolScopes.size === 0) return next()
        request.scopes = scopesIn(apiKey, pool)
        if (request.scopes.size === 0) return next(poolNotFound(pool))
        next(request.scopes.has(scope) ? undefined : lacksScope(scope))
      } catch (error) {
        next(error as Error)
      }
    })
    done()
  },
  { name: 'pool-access', dependencies: ['authentication'] },
)

/** Compares the digest of the secret with that of every key, in constant time. */
function keyOf(request: FastifyRequest, apiKeys: readonly ApiKey[]): ApiKey | undefined {
  const { authorization = '' } = request.headers
  const [, bearer] = /^Bearer +(\S+)$/i.exec(authorization) ?? []
  const secret = bearer ?? (request.routeOptions.config.basicAuth && passwordOf(authorization))
  if (secret === undefined) return undefined
  const digest = digestOf(secret)
  let found: ApiKey | undefined
  for (const key of apiKeys) if (timingSafeEqual(key.secretDigest, digest)) found = key
  return found
}

/** Returns the password of Basic credentials. The name before it is not used. */
function passwordOf(authorization: string): string | undefined {
  const [, coded = ''] = /^Basic +(\S+)$/i.exec(authorization) ?? []
  const [, password] = /:(.*)$/s.exec(Buffer.from(coded, 'base64').toString()) ?? []
  return password
}

function scopesAnywhere(key: ApiKey | undefined): ReadonlySet<Scope> {
  if (key === undefined) return NONE
  if (key.poolScopes.size === 0) return key.scopes
  return new Set([key.scopes, ...key.poolScopes.values()].flatMap((scopes) => [...scopes]))
}

/** The problem of a request without a valid key. Names Basic only where the route takes it. */
export function unauthorized({ routeOptions: { config } }: FastifyRequest): Problem {
  const headers = { 'www-authenticate': `Bearer realm="usersync"${config.basicAuth ? ', Basic realm="usersync"' : ''}` }
  const other = config.basicAuth ? ', or Basic with the key as the password,' : ''
  return new Problem('unauthorized', `Send Authorization: Bearer <key>${other} with a configured key.`, { headers })
}

const lacksScope = (scope: Scope) => new Problem('forbidden', `The key needs the scope ${scope}.`)

/** Throws `forbidden` unless the request's key has the scope. For parameters that need more than their route. */
export function requireScope(request: FastifyRequest, scope: Scope, forWhat: string): void {
  if (!request.scopes.has(scope)) throw new Problem('forbidden', `${forWhat} needs a key with the scope ${scope}.`)
}
