import type { Fragment, ISql, Sql } from 'postgres'
import type { BatchErrorCode } from './batch-errors.ts'

/** Minimum size of a batch after which the table's statistics are updated. */
const MANY_USERS = 10_000

/**
 * Updates the tables' statistics after a large batch (0.2 s). Autovacuum runs once a minute; until then plans assume an
 * empty table. Never throws. Skips a table that another command, such as VACUUM, has locked.
 */
export async function refreshStatistics(sql: ISql, batchUsers: number): Promise<void> {
  if (batchUsers >= MANY_USERS) await sql`analyze (skip_locked) users, credentials`.catch(() => {})
}

/** An unfinished batch, as dispatchers read it. */
export interface UnfinishedBatch {
  pool_id: number
  id: string
  status: 'queued' | 'running'
  /** The batch's setting, or the number of chunks of a kind that it began with, if that is less. */
  max_workers: number
  /** Whether any chunk is not completed; it may be in progress. */
  has_open_chunks: boolean
}

/**
 * The oldest unfinished batches of all pools. A further worker would find no chunk of a small batch, but start a thread and open a
 * connection for it. A chunk has at least one credential.
 */
export async function unfinishedBatches(sql: Sql, limit: number): Promise<UnfinishedBatch[]> {
  return await sql<UnfinishedBatch[]>`
    select b.pool_id, b.id, b.status,
      least((b.config->>'max_workers')::int,
        greatest(b.credential_count, ceil(b.total_requested / (b.config->>'chunk_size')::float8)))::int as max_workers,
      exists (select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id) as has_open_chunks
    from batches b where b.status in ('queued', 'running') order by b.id limit ${limit}`
}

/** Records that work on the batch has begun. Does nothing if the batch is being ended. */
export async function markRunning(sql: Sql, batch: UnfinishedBatch): Promise<void> {
  await sql`
    update batches set status = 'running', started_at = now()
    where pool_id = ${batch.pool_id} and id = ${freeBatch(sql, batch)} and status = 'queued'`
}

/**
 * Completes the batch if all its chunks are done, and nobody ends it at the moment. Any replica may call it at any time. Queues
 * the credentials of users that could not be created for the sweep.
 */
export async function markCompleted(sql: Sql, batch: UnfinishedBatch): Promise<void> {
  const [ended] = await sql<{ total_requested: number }[]>`
    with ended as (
      update batches b set finished_at = now(), last_error = null,
        status = case when failed_count > 0 then 'completed_with_failures' else 'completed' end
      where b.pool_id = ${batch.pool_id} and b.id = ${freeBatch(sql, batch)} and b.status = 'running'
        and not exists (select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id)
      returning b.*
    ), noted as (
      insert into credential_checks (pool_id, first_id, last_id)
      select pool_id, first_credential_id, first_credential_id + credential_count - 1 from ended where failed_count > 0
    )
    select total_requested from ended`
  if (ended) await refreshStatistics(sql, ended.total_requested)
}

/**
 * Locks the batch and returns its id as a value in a writing statement, null if another transaction has locked it. A deletion
 * holds the lock until all users are deleted. A dispatcher that waited for it would start no chunk of any other batch.
 */
const freeBatch = (sql: Sql, { pool_id, id }: UnfinishedBatch): Fragment => sql`(
  select id from batches where pool_id = ${pool_id} and id = ${id} for no key update skip locked)`

/** Stores the last error of a chunk in the batch. Does nothing after the batch has ended. */
export async function noteError(sql: Sql, { pool_id, id }: UnfinishedBatch, error: BatchErrorCode): Promise<void> {
  await sql`
    update batches set last_error = ${error}
    where pool_id = ${pool_id} and id = ${id} and status in ('queued', 'running') and last_error is distinct from ${error}`
}
