import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { type Static, Type } from 'typebox'
import { readInIndexOrder } from '../database/index-order.ts'
import { named } from '../http/schemas.ts'
import { PoolQuery, poolOf } from '../pools/pool-parameter.ts'
import { poolNotFound } from '../pools/pools.ts'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import { ANY_BATCH } from '../states/filter.ts'

const PoolStats = named('Stats', {
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
export type PoolStats = Static<typeof PoolStats>

/** The counts of a pool. */
export const statsRoutes: FastifyPluginCallbackTypebox<{ sql: Sql }> = (app, { sql }, done) => {
  app.get(
    '/v1/stats',
    {
      config: { scope: 'users:read' },
      schema: {
        operationId: 'getStats',
        tags: ['users'],
        summary: 'Count the users and batches of a pool',
        description: 'Costs the same for ten users as for ten million: the counts are stored, not computed.',
        querystring: PoolQuery,
        response: { 200: PoolStats },
        problems: [],
      },
    },
    (request) => readPoolStats(sql, poolOf(request)),
  )

  done()
}

interface StatsRow {
  test_users_only: boolean | null
  bulk_users_only: boolean | null
  user_count: number | null
  state: State | null
  batches: Partial<PoolStats['batches']> | null
}

/**
 * Returns the counts of a pool from its scopes and batches, in one statement that reads no user, and one entry of an index for each
 * batch. As a join, PostgreSQL counts the batches once for each scope: 100 ms instead of 2 ms for 10,000 batches. Throws
 * `pool_not_found`.
 */
async function readPoolStats(sql: Sql, pool: string): Promise<PoolStats> {
  const rows = await readInIndexOrder(
    sql,
    (sql) => sql<StatsRow[]>`
    with pool as materialized (
      select p.id, (
        select json_object_agg(status, batches)
        from (select status, count(*) as batches from batches where pool_id = p.id group by status) by_status
      ) as batches
      from pools p where p.name = ${pool}
    )
    select s.test_users_only, s.bulk_users_only, s.user_count::float8 as user_count,
      state_name(s.word_0, s.word_1, s.word_2, s.word_3) as state, p.batches
    from pool p
    left join scopes s on s.pool_id = p.id and s.batch_id = ${ANY_BATCH}`,
  )
  const [first] = rows
  if (!first) throw poolNotFound(pool)
  const scope = (testUsersOnly: boolean, bulkUsersOnly: boolean) =>
    rows.find((row) => row.test_users_only === testUsersOnly && row.bulk_users_only === bulkUsersOnly)
  const totalUsers = scope(false, false)?.user_count ?? 0
  const testUsers = scope(true, false)?.user_count ?? 0
  const none = { queued: 0, running: 0, completed: 0, completed_with_failures: 0, cancelled: 0, failed: 0 }
  return {
    pool,
    total_users: totalUsers,
    test_users: testUsers,
    bulk_users: scope(true, true)?.user_count ?? 0,
    protected_users: totalUsers - testUsers,
    batches: { ...none, ...first.batches },
    state: scope(true, false)?.state ?? EMPTY_STATE,
  }
}
