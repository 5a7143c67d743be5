import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import type { Config } from '../config/config.ts'
import { Nullable, named, strict } from '../http/schemas.ts'
import { poolOf } from '../pools/pool-parameter.ts'
import { oldestBaseAt } from '../states/scope-state.ts'
import { filterMembers, filterOf } from '../users/filter-parameters.ts'
import type { Exports } from './exports.ts'
import { parseShard, ShardText } from './shard-parameter.ts'
import { setCaching, sharedCaching } from './shared-caching.ts'

interface StateRoutesOptions {
  sql: Sql
  exports: Exports
  config: Config
}

/** Serves the current state of a filter, or of a part of it. HTTP caches may answer for the service for a second or two. */
export const stateRoutes: FastifyPluginCallbackTypebox<StateRoutesOptions> = (app, options, done) => {
  const { sql, exports, config } = options
  const caching = sharedCaching(config)

  app.get(
    '/v1/states/current',
    {
      config: { scope: 'users:read' },
      schema: {
        operationId: 'getCurrentState',
        tags: ['export'],
        summary: 'Read the current state of a filter',
        querystring: strict({ ...filterMembers, shard: Type.Optional(ShardText) }),
        response: {
          200: named('CurrentState', {
            state: Type.String({ description: 'With `shard`, of that part: the parts add up, word by word' }),
            total_count: Type.Integer({ description: 'Users in this state' }),
            oldest_base_at: Nullable(Type.String()),
          }),
        },
        responseHeaders: ['Cache-Control', 'Usersync-Pool-Created'],
        problems: [],
      },
    },
    async (request, reply) => {
      const { shard } = request.query
      const scope = { pool: poolOf(request), filter: filterOf(request, request.query) }
      const part = shard === undefined ? undefined : parseShard(shard)
      const present = part ? await exports.shardState(scope, part) : await exports.currentScope(scope)
      const { poolId, poolCreatedAt, state, userCount } = present
      const oldest = await oldestBaseAt(sql, { poolId, ...scope.filter })
      setCaching(reply, caching.currentState).header('usersync-pool-created', poolCreatedAt)
      return { state, total_count: userCount, oldest_base_at: oldest }
    },
  )

  done()
}
