import type { ISql } from 'postgres'
import type { ImportConfig } from '../batches/batch-schema.ts'
import type { Target } from './stage-rows.ts'

/** Numbers of rows by result. Their sum is the number of rows. */
export interface Counts {
  created: number
  updated: number
  /** The user already equals the row, or `on_conflict=skip` leaves the row out. */
  skipped: number
  failed: number
}

/** Returns the time at which the upload began, by the database's clock. */
export async function readStart(session: ISql): Promise<string> {
  const [row] = await session<{ at: string }[]>`select now()::text as at`
  return row?.at ?? ''
}

/** Writes the batch of an import. It is not visible before the import commits, so no dispatcher takes it for work. */
export async function insertImportBatch(
  session: ISql,
  { poolId, batchId }: Target,
  { label, config, startedAt }: { label: string | null; config: ImportConfig; startedAt: string },
): Promise<void> {
  await session`
    insert into batches (pool_id, id, kind, label, status, total_requested, first_user_number, first_credential_id,
      username_pattern, email_suffix, config, created_at, started_at)
    values (${poolId}, ${batchId}, 'import', ${label}, 'completed', 0, 0, 0, '', '', ${JSON.stringify(config)},
      ${startedAt}, ${startedAt})`
}

/** Stores the result of the import in its batch. */
export async function finishImportBatch(
  session: ISql,
  { poolId, batchId }: Target,
  { created, updated, skipped, failed }: Counts,
): Promise<void> {
  await session`
    update batches set total_requested = ${created + updated + skipped + failed}, created_count = ${created},
      updated_count = ${updated}, skipped_count = ${skipped}, failed_count = ${failed}, chunk_count = 1,
      peak_memory_bytes = ${process.memoryUsage.rss()}, finished_at = clock_timestamp(),
      status = ${failed > 0 ? 'completed_with_failures' : 'completed'}
    where pool_id = ${poolId} and id = ${batchId}`
}
