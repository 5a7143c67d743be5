import type { Fragment, ISql, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import type { Batch } from './batches.ts'
import { isExpired } from './expiry.ts'

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
  const isBefore = before === undefined ? sql`true` : sql`b.id < ${before}`
  const isRemovable =
    olderThan === undefined
      ? sql`true`
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
      from ${olderThan === undefined ? newestExpired(sql, poolId, isBefore, rows) : sql`batches b`}
      left join lateral ${scopeOfBatch(sql, true)} t on true
      left join lateral ${scopeOfBatch(sql, false)} a on true
      where b.pool_id = ${poolId} and ${isBefore} and ${isRemovable}
      order by b.id desc limit ${rows}`,
  )
}

/**
 * Reads all expired batches through their index: they are few, because the service removes them within seconds. The order of ids would
 * lead past every batch of the pool.
 */
const newestExpired = (sql: ISql, poolId: number, isBefore: Fragment, rows: number): Fragment => sql`(
  select * from (
    select * from batches b where b.pool_id = ${poolId} and ${isExpired(sql)} and ${isBefore}
    order by b.expires_at, b.pool_id, b.id offset 0
  ) b order by b.id desc limit ${rows}
) b`

/** The scope of the batch `b`. `offset 0` forces one look-up by key for each batch, even with wrong statistics. */
const scopeOfBatch = (sql: ISql, testUsersOnly: boolean): Fragment => sql`(
  select s.user_count from scopes s
  where s.pool_id = b.pool_id and s.batch_id = b.id and s.test_users_only = ${testUsersOnly} and not s.bulk_users_only offset 0
)`
