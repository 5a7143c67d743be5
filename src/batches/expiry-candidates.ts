import type { Fragment, ISql, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import type { Batch } from './batches.ts'

/** A batch that can be removed, and what its removal deletes. */
export interface Candidate {
  batch_id: string
  label: string | null
  status: Batch['status']
  created_at: string
  expires_at: string | null
  age_seconds: number
  /** Test users, which the removal deletes. */
  user_count: number
  /** Users of the batch that are not test users. They stay. */
  protected_count: number
}

interface ExpiredBatch {
  pool_id: number
  pool: string
  id: string
  expires_at: string
}

/**
 * Whether a row `b` of batches is past its `expires_at` and not removed yet. Same condition as the index
 * batches_expiring.
 */
const isExpired = (sql: ISql): Fragment => sql`b.expires_at <= now() and b.removed_at is null`

/** The scope of the batch `b`. `offset 0` forces one look-up by key for each batch, even with wrong statistics. */
const scopeOfBatch = (sql: ISql, testUsersOnly: boolean): Fragment => sql`(
  select s.user_count from scopes s
  where s.pool_id = b.pool_id and s.batch_id = b.id and s.test_users_only = ${testUsersOnly} and not s.bulk_users_only offset 0
)`

/**
 * Returns one page of the batches that can be removed, newest first: those past their `expires_at` or, with
 * `olderThan`, those of at least that age in seconds that still have test users or chunks. Counts come from the scopes,
 * one look-up per batch. Reads no user.
 */
export async function listCandidates(
  sql: Sql,
  poolId: number,
  { olderThan, before, limit }: { olderThan: number | undefined; before: string | undefined; limit: number },
): Promise<Page<Candidate>> {
  const isOld =
    olderThan === undefined
      ? isExpired(sql)
      : sql`b.created_at <= now() - ${olderThan}::float8 * interval '1 second'
          and (t.user_count > 0 or b.status in ('queued', 'running'))`
  return await readPage(
    sql,
    limit,
    (sql, rows) => sql<Candidate[]>`
    select b.id as batch_id, b.label, b.status, rfc3339(b.created_at) as created_at, rfc3339(b.expires_at) as expires_at,
      floor(extract(epoch from now() - b.created_at))::float8 as age_seconds,
      coalesce(t.user_count, 0)::float8 as user_count,
      (coalesce(a.user_count, 0) - coalesce(t.user_count, 0))::float8 as protected_count
    from batches b
    left join lateral ${scopeOfBatch(sql, true)} t on true
    left join lateral ${scopeOfBatch(sql, false)} a on true
    where b.pool_id = ${poolId} and ${isOld}
      ${before === undefined ? sql`` : sql`and b.id < ${before}`}
    order by b.id desc limit ${rows}`,
  )
}

/**
 * Returns one page of expired batches that are not removed yet, oldest first: those after `after`, of one pool or of
 * all.
 */
export async function expiredBatches(
  sql: Sql,
  { poolId, after, limit }: { poolId: number | undefined; after: ExpiredBatch | undefined; limit: number },
): Promise<ExpiredBatch[]> {
  const isBehind = after
    ? sql`and (b.expires_at, b.pool_id, b.id) > (${after.expires_at}, ${after.pool_id}, ${after.id})`
    : sql``
  return await sql<ExpiredBatch[]>`
    select b.pool_id, p.name as pool, b.id, b.expires_at from batches b
    join pools p on p.id = b.pool_id and p.replica_since is null
    where ${isExpired(sql)} ${isBehind} ${poolId === undefined ? sql`` : sql`and b.pool_id = ${poolId}`}
    order by b.expires_at, b.pool_id, b.id limit ${limit}`
}
