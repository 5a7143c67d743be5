import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { scopesIn } from '../config/api-keys.ts'
import { hasPool, poolOf } from '../pools/pool-parameter.ts'
import { poolNotFound } from '../pools/pools.ts'
import { lacksScope } from './authentication.ts'

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
