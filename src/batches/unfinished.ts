import type { Sql } from 'postgres'
import { refreshStatistics } from './refresh-statistics.ts'

/** A batch that a dispatcher may have to do something for. */
export interface UnfinishedBatch {
  pool_id: number
  id: string
  status: 'queued' | 'running'
  max_workers: number
  /** Whether a chunk is not finished yet; it may be in work. */
  has_open_chunks: boolean
}

/** The oldest unfinished batches of all pools, as many as a dispatcher looks at in one round. */
export async function unfinishedBatches(sql: Sql, limit: number): Promise<UnfinishedBatch[]> {
  return await sql<UnfinishedBatch[]>`
    select b.pool_id, b.id, b.status, (b.config->>'max_workers')::int as max_workers,
      exists (
        select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id and c.finished_at is null
      ) as has_open_chunks
    from batches b where b.status in ('queued', 'running') order by b.id limit ${limit}`
}

/** Notes that work on the batch has begun. */
export async function markRunning(sql: Sql, { pool_id, id }: UnfinishedBatch): Promise<void> {
  await sql`
    update batches set status = 'running', started_at = now()
    where pool_id = ${pool_id} and id = ${id} and status = 'queued'`
}

/**
 * Ends the batch if all its chunks are finished. It may be called by every replica, at any time.
 */
export async function markCompleted(sql: Sql, { pool_id, id }: UnfinishedBatch): Promise<void> {
  const [ended] = await sql<{ total_requested: number }[]>`
    update batches b set finished_at = now(), status = case
      when exists (select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id and c.failed_count > 0)
      then 'completed_with_failures' else 'completed' end
    where b.pool_id = ${pool_id} and b.id = ${id} and b.status = 'running'
      and not exists (
        select from chunks c where c.pool_id = b.pool_id and c.batch_id = b.id and c.finished_at is null)
    returning b.total_requested`
  if (ended) await refreshStatistics(sql, ended.total_requested)
}

/** Ends a batch that meets a fault which another attempt would meet again. What it has made stays. */
export async function markFailed(sql: Sql, { pool_id, id }: UnfinishedBatch): Promise<void> {
  await sql`
    update batches set status = 'failed', finished_at = now()
    where pool_id = ${pool_id} and id = ${id} and status in ('queued', 'running')`
}
