import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { poolMember, poolName } from './pool-parameter.ts'
import { readPoolStats } from './pool-stats.ts'

const StatsAnswer = Type.Object({
  pool: Type.String(),
  total_users: Type.Integer(),
  test_users: Type.Integer(),
  bulk_users: Type.Integer({ description: 'Test users of batches and imports' }),
  protected_users: Type.Integer({ description: 'Users who are no test users: nothing here changes or deletes them' }),
  batches: Type.Object({
    queued: Type.Integer(),
    running: Type.Integer(),
    completed: Type.Integer(),
    completed_with_failures: Type.Integer(),
    cancelled: Type.Integer(),
    failed: Type.Integer(),
  }),
  state: Type.String({ description: 'Of the test users: that of an export without a filter' }),
})

/** What a pool holds, in numbers. */
export const statsRoutes: FastifyPluginCallbackTypebox<{ sql: Sql }> = (app, { sql }, done) => {
  app.get(
    '/v1/stats',
    {
      config: { scope: 'users:read' },
      schema: {
        tags: ['users'],
        summary: 'Count the users and batches of a pool',
        description: 'Costs the same for ten users and ten million: the counts are kept, not made.',
        querystring: Type.Object(poolMember, { additionalProperties: false }),
        response: { 200: StatsAnswer },
      },
    },
    (request) => readPoolStats(sql, poolName(request.query)),
  )

  done()
}
