import type { Fragment, Sql } from 'postgres'
import type { Batch } from '../batches/batches.ts'

/** A batch that may be removed, and what that would remove. */
export interface Candidate {
  batch_id: string
  label: string | null
  status: Batch['status']
  created_at: string
  expires_at: string | null
  age_seconds: number
  /** Test users, who would be deleted. */
  user_count: number
  /** Users of the batch who are not test users, and stay. */
  protected_count: number
}

/** That a row `b` of batches is past its `expires_at`. */
const isExpired = (sql: Sql): Fragment => sql`b.expires_at <= now()`

/** That the batch `b`, of test users `t`, has anything left to remove. */
const holdsSomething = (sql: Sql): Fragment => sql`(t.user_count > 0 or b.status in ('queued', 'running'))`

/**
 * One page of the batches that may be removed, the newest first: those past their `expires_at`, or of at least an age in
 * seconds where that is given. Read from batches and scopes, a look-up to a batch; no user is touched.
 */
export async function listCandidates(
  sql: Sql,
  poolId: number,
  { olderThan, before, limit }: { olderThan: number | undefined; before: string | undefined; limit: number },
): Promise<Candidate[]> {
  const isOld =
    olderThan === undefined ? isExpired(sql) : sql`b.created_at <= now() - ${olderThan}::float8 * interval '1 second'`
  const time = (column: string) => sql`to_char(${sql(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
  return await sql<Candidate[]>`
    select b.id as batch_id, b.label, b.status, ${time('b.created_at')} as created_at, ${time('b.expires_at')} as expires_at,
      floor(extract(epoch from now() - b.created_at))::float8 as age_seconds,
      coalesce(t.user_count, 0)::float8 as user_count,
      (coalesce(a.user_count, 0) - coalesce(t.user_count, 0))::float8 as protected_count
    from batches b
    left join scopes t
      on t.pool_id = b.pool_id and t.batch_id = b.id and t.test_users_only and not t.bulk_users_only
    left join scopes a
      on a.pool_id = b.pool_id and a.batch_id = b.id and not a.test_users_only and not a.bulk_users_only
    where b.pool_id = ${poolId} and ${isOld} and ${holdsSomething(sql)}
      ${before === undefined ? sql`` : sql`and b.id < ${before}`}
    order by b.id desc limit ${limit}`
}

/** The oldest expired batches that have anything left to remove: of one pool, or of all. */
export async function expiredBatches(
  sql: Sql,
  { poolId, limit }: { poolId: number | undefined; limit: number },
): Promise<{ pool_id: number; pool: string; id: string }[]> {
  return await sql<{ pool_id: number; pool: string; id: string }[]>`
    select b.pool_id, p.name as pool, b.id from batches b
    join pools p on p.id = b.pool_id and p.replica_since is null
    left join scopes t
      on t.pool_id = b.pool_id and t.batch_id = b.id and t.test_users_only and not t.bulk_users_only
    where ${isExpired(sql)} and ${holdsSomething(sql)} ${poolId === undefined ? sql`` : sql`and b.pool_id = ${poolId}`}
    order by b.expires_at limit ${limit}`
}
