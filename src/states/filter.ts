import type { Fragment, ISql } from 'postgres'
import type { Shard } from '../protocol/shard.ts'

/** Means "any batch" in the key of a scope, because a primary key cannot contain null. */
export const ANY_BATCH = '00000000-0000-0000-0000-000000000000'

/** Selects users of one pool. Each filter is one scope, which has its own versions and states. */
export interface Filter {
  poolId: number
  batchId: string | undefined
  testUsersOnly: boolean
  bulkUsersOnly: boolean
}

/** Returns a filter with its pool and shard as the JSON form of an export shows it. */
export const filtersOf = ({ pool, filter, shard }: FilterOfExport) => ({
  pool,
  batch_id: filter.batchId ?? null,
  test_users_only: filter.testUsersOnly,
  bulk_users_only: filter.bulkUsersOnly,
  ...(shard && { shard: `${shard.index}/${shard.count}` }),
})

interface FilterOfExport {
  pool: string
  filter: Omit<Filter, 'poolId'>
  shard: Shard | undefined
}

/** Returns the filter as a condition on rows of `users`. */
export function selects(sql: ISql, filter: Filter, alias: 'u'): Fragment {
  return sql`${sql(alias)}.pool_id = ${filter.poolId} ${selectsInPool(sql, filter, alias)}`
}

/** Like `selects`, without the pool; also for `tombstones`. Returns further conditions, each with a leading `and`. */
export function selectsInPool(sql: ISql, filter: Omit<Filter, 'poolId'>, alias: 'u' | 't'): Fragment {
  const rows = sql(alias)
  return sql`
    ${filter.batchId === undefined ? sql`` : sql`and ${rows}.batch_id = ${filter.batchId}`}
    ${filter.testUsersOnly ? sql`and ${rows}.is_test_user` : sql``}
    ${filter.bulkUsersOnly ? sql`and ${rows}.created_by_bulk` : sql``}`
}

/** Returns the filter as the key of its scope: a condition on rows of `scopes` or `states`. */
export function isScope(sql: ISql, filter: Filter, alias: 's' | 'e'): Fragment {
  return sql`${sql(alias)}.pool_id = ${filter.poolId} ${isScopeInPool(sql, filter, alias)}`
}

/** Like `isScope`, without the pool. Returns further conditions, each with a leading `and`. */
export function isScopeInPool(sql: ISql, filter: Omit<Filter, 'poolId'>, alias: 's' | 'e'): Fragment {
  const rows = sql(alias)
  return sql`
    and ${rows}.batch_id = ${filter.batchId ?? ANY_BATCH} and ${rows}.test_users_only = ${filter.testUsersOnly}
    and ${rows}.bulk_users_only = ${filter.bulkUsersOnly}`
}

/** The user line of a row with the columns of `users`: the text that is exported, and hashed into the state. */
export function userLine(sql: ISql, alias: 'u' | 's'): Fragment {
  const row = sql(alias)
  return sql`user_line(${row}.id, ${row}.username, ${row}.email, ${row}.role, ${row}.is_test_user, ${row}.batch_id,
    ${row}.created_by_bulk, ${row}.custom_attributes, ${row}.created_at, ${row}.updated_at)`
}
