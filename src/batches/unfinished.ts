import type { ISql, Sql } from 'postgres'
import type { BatchErrorCode } from './batch-errors.ts'

/** From this size on a batch changes what the planner should expect of the table. */
const MANY_USERS = 10_000

/**
 * Updates the tables' statistics after a large batch (0.2 s): autovacuum runs once a minute, and until then plans are for an
 * empty table. Never throws, and skips a table that VACUUM or the like has locked.
 */
export async function refreshStatistics(sql: ISql, batchUsers: number): Promise<void> {
  if (batchUsers >= MANY_USERS) await sql`analyze (skip_locked) users, credentials`.catch(() => {})
}

/** An unfinished batch, as dispatchers see it. */
export interface UnfinishedBatch {
  pool_id: number
  id: string
  status: 'queued' | 'running'
  max_workers: number
  /** Whether a chunk is not done yet; it may be in progress. */
  has_open_chunks: boolean
}

/** The oldest unfinished batches of all pools. */
export async function unfinishedBatches(sql: Sql, limit: number): Promise<UnfinishedBatch[]> {
  return await sql<UnfinishedBatch[]>`
    select b.pool_id, b.id, b.status, (b.config->>'max_workers')::int as max_workers,
      exists (select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id) as has_open_chunks
    from batches b where b.status in ('queued', 'running') order by b.id limit ${limit}`
}

/** Records that work on the batch has begun. */
export async function markRunning(sql: Sql, { pool_id, id }: UnfinishedBatch): Promise<void> {
  await sql`
    update batches set status = 'running', started_at = now()
    where pool_id = ${pool_id} and id = ${id} and status = 'queued'`
}

/**
 * Completes the batch if all its chunks are done; any replica may call it at any time. Credentials of users that could not be
 * created are noted for the sweep.
 */
export async function markCompleted(sql: Sql, { pool_id, id }: UnfinishedBatch): Promise<void> {
  const [ended] = await sql<{ total_requested: number }[]>`
    with ended as (
      update batches b set finished_at = now(), last_error = null,
        status = case when failed_count > 0 then 'completed_with_failures' else 'completed' end
      where b.pool_id = ${pool_id} and b.id = ${id} and b.status = 'running'
        and not exists (select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id)
      returning b.*
    ), noted as (
      insert into credential_checks (pool_id, first_id, last_id)
      select pool_id, first_credential_id, first_credential_id + credential_count - 1 from ended where failed_count > 0
    )
    select total_requested from ended`
  if (ended) await refreshStatistics(sql, ended.total_requested)
}

/** Records what a chunk of the batch met, for those who read the batch. Does nothing once the batch has ended. */
export async function noteError(sql: Sql, { pool_id, id }: UnfinishedBatch, error: BatchErrorCode): Promise<void> {
  await sql`
    update batches set last_error = ${error}
    where pool_id = ${pool_id} and id = ${id} and status in ('queued', 'running') and last_error is distinct from ${error}`
}
