import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { PoolQuery, poolOf } from '../pools/pool-parameter.ts'
import { readPoolStats } from './pool-stats.ts'

const StatsResponse = Type.Object({
  pool: Type.String(),
  total_users: Type.Integer(),
  test_users: Type.Integer(),
  bulk_users: Type.Integer({ description: 'Test users created by batches and imports' }),
  protected_users: Type.Integer({
    description: 'Users that are not test users. The service never changes or deletes them.',
  }),
  batches: Type.Object({
    queued: Type.Integer(),
    running: Type.Integer(),
    completed: Type.Integer(),
    completed_with_failures: Type.Integer(),
    cancelled: Type.Integer(),
    failed: Type.Integer(),
  }),
  state: Type.String({ description: 'The state of the test users: the state of an export without a filter' }),
})

/** The counts of a pool. */
export const statsRoutes: FastifyPluginCallbackTypebox<{ sql: Sql }> = (app, { sql }, done) => {
  app.get(
    '/v1/stats',
    {
      config: { scope: 'users:read' },
      schema: {
        tags: ['users'],
        summary: 'Count the users and batches of a pool',
        description: 'Costs the same for ten users as for ten million: the counts are stored, not computed.',
        querystring: PoolQuery,
        response: { 200: StatsResponse },
      },
    },
    (request) => readPoolStats(sql, poolOf(request)),
  )

  done()
}
