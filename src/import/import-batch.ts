import type { TransactionSql } from 'postgres'
import type { ImportConfig } from '../batches/import-config.ts'
import type { Target } from './page-rows.ts'

/** How many rows were read, and how many of them could not be taken. */
export interface Counts {
  read: number
  failed: number
}

/** Writes the batch of an import. It is seen by nobody before the import is done, so no dispatcher takes it for work. */
export async function insertImportBatch(
  tx: TransactionSql,
  { poolId, batchId }: Target,
  label: string | null,
  config: ImportConfig,
): Promise<void> {
  await tx`
    insert into batches (pool_id, id, kind, label, status, total_requested, first_user_number, first_credential_id,
      username_pattern, email_suffix, config, started_at)
    values (${poolId}, ${batchId}, 'import', ${label}, 'completed', 0, 0, 0, '', '', ${JSON.stringify(config)}, now())`
}

/** Records the outcome of the import in its batch. */
export async function finishImportBatch(
  tx: TransactionSql,
  { poolId, batchId }: Target,
  { read, failed }: Counts,
): Promise<void> {
  await tx`
    update batches set total_requested = ${read}, created_count = ${read - failed}, failed_count = ${failed},
      chunk_count = 1, peak_memory_bytes = ${process.memoryUsage.rss()}, finished_at = clock_timestamp(),
      status = ${failed > 0 ? 'completed_with_failures' : 'completed'}
    where pool_id = ${poolId} and id = ${batchId}`
}
