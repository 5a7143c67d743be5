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

/** Writes what became of the import: its counts, in one chunk, where every batch has them. */
export async function finishImportBatch(
  tx: TransactionSql,
  { poolId, batchId }: Target,
  { read, failed }: Counts,
): Promise<void> {
  await tx`
    insert into chunks (pool_id, batch_id, kind, first_n, last_n, created_count, failed_count, memory_bytes, finished_at)
    values (${poolId}, ${batchId}, 'users', 1, ${read}, ${read - failed}, ${failed}, ${process.memoryUsage.rss()}, clock_timestamp())`
  await tx`
    update batches set total_requested = ${read}, finished_at = clock_timestamp(),
      status = ${failed > 0 ? 'completed_with_failures' : 'completed'}
    where pool_id = ${poolId} and id = ${batchId}`
}
