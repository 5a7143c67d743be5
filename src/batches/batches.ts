import type { Fragment, ISql, PendingQuery, Sql } from 'postgres'
import type { Static } from 'typebox'
import { type Page, readPage } from '../database/page.ts'
import { Problem } from '../errors.ts'
import { ANY_BATCH } from '../states/filter.ts'
import { completedPart } from './batch-cost.ts'
import { batchError } from './batch-errors.ts'
import type { BatchResponse } from './batch-schema.ts'

/** A batch as the API returns it; times are RFC 3339 in UTC. */
export type Batch = Static<typeof BatchResponse>

interface BatchRow
  extends Omit<Batch, 'progress' | 'throughput_per_second' | 'eta_seconds' | 'profile' | 'last_error'> {
  last_error: string | null
  hashed_count: number
  updated_count: number
  skipped_count: number
  elapsed_ms: number | null
  peak_memory_bytes: number | null
  chunk_count: number
}

export const batchNotFound = () => new Problem('batch_not_found', 'The batch may be in another pool.')

/** Throws `batch_not_found`. */
export async function readBatch(sql: Sql, poolId: number, id: string): Promise<Batch> {
  const [row] = await selectBatches(sql, poolId, sql`b.id = ${id}`, 1)
  if (!row) throw batchNotFound()
  return withProgress(row)
}

/** Returns one page of batches, newest first: those created before the batch `before`, with `status` if it is set. */
export async function listBatches(
  sql: Sql,
  poolId: number,
  { before, status }: { before: string | undefined; status: Batch['status'] | undefined },
  limit: number,
): Promise<Page<Batch>> {
  const isBefore = before === undefined ? sql`true` : sql`b.id < ${before}`
  const hasStatus = status === undefined ? sql`true` : sql`b.status = ${status}`
  const { rows, hasMore } = await readPage(sql, limit, (sql, limit) =>
    selectBatches(sql, poolId, sql`${isBefore} and ${hasStatus}`, limit),
  )
  return { rows: rows.map(withProgress), hasMore }
}

/** Limits the page before it looks up chunks and scopes, so that it reads them only for the batches of the page. */
function selectBatches(sql: ISql, poolId: number, condition: Fragment, limit: number): PendingQuery<BatchRow[]> {
  return sql<BatchRow[]>`
    select b.id, b.kind, b.label, b.status, b.total_requested, b.hashed_count, b.created_count, b.updated_count, b.skipped_count,
      b.failed_count, coalesce(s.user_count, 0)::float8 as user_count, b.config,
      rfc3339(b.created_at) as created_at, rfc3339(b.started_at) as started_at, rfc3339(b.finished_at) as finished_at,
      rfc3339(b.expires_at) as expires_at, rfc3339(b.removed_at) as removed_at, b.last_error, b.chunk_count,
      b.peak_memory_bytes::float8 as peak_memory_bytes,
      (extract(epoch from coalesce(b.finished_at, now()) - b.started_at) * 1000)::float8 as elapsed_ms,
      state_name(coalesce(s.word_0, 0), coalesce(s.word_1, 0), coalesce(s.word_2, 0), coalesce(s.word_3, 0)) as state
    from (
      select * from batches b where b.pool_id = ${poolId} and ${condition} order by b.id desc limit ${limit}
    ) b
    left join scopes s
      on s.pool_id = b.pool_id and s.batch_id = b.id and s.batch_id <> ${ANY_BATCH} and s.test_users_only and not s.bulk_users_only
    order by b.id desc`
}

/**
 * Adds what follows from the counts: `progress` from 0 to 1, users per second since the start, and seconds left if the
 * work goes on as fast as so far.
 */
function withProgress(batch: BatchRow): Batch {
  const { elapsed_ms, peak_memory_bytes, chunk_count, last_error, hashed_count, updated_count, skipped_count, ...row } =
    batch
  const done = row.created_count + updated_count + skipped_count + row.failed_count
  const perSecond = elapsed_ms && elapsed_ms > 0 ? (done * 1000) / elapsed_ms : null
  const isRunning = row.finished_at === null
  const progress = progressOf(batch, done)
  return {
    ...row,
    ...(row.kind === 'import' ? { updated_count, skipped_count } : { hashed_count }),
    last_error: batchError(last_error),
    progress: Math.floor(progress * 10_000) / 10_000,
    throughput_per_second: perSecond && Math.round(perSecond),
    eta_seconds: isRunning && elapsed_ms && progress > 0 ? Math.ceil((elapsed_ms * (1 / progress - 1)) / 1000) : null,
    profile: {
      duration_ms: elapsed_ms && Math.round(elapsed_ms),
      peak_memory_bytes,
      chunks: chunk_count,
      workers: 'max_workers' in row.config ? row.config.max_workers : 1,
    },
  }
}

/** An import exists only when it is complete, so its progress is 1. */
function progressOf({ config, hashed_count, total_requested }: BatchRow, users: number): number {
  return 'password_hash' in config ? completedPart(config, { hashes: hashed_count, users }, total_requested) : 1
}
