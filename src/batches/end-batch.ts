import type { Sql, TransactionSql } from 'postgres'
import { requireWritable } from '../pools/writable-pool.ts'
import { batchNotFound } from './batches.ts'

/** How long the end of a batch waits for its chunks in progress, which may compute hashes for a while. */
const CHUNK_WAIT_MS = 300_000

/**
 * Cancels a batch that is not finished: no further chunk is begun, and those in work are waited for, so that afterwards
 * the counts are those of the users there. A finished batch stays as it is. Throws `batch_not_found`.
 */
export async function cancelBatch(sql: Sql, poolId: number, id: string): Promise<void> {
  await sql.begin((tx) => cancel(tx, poolId, id))
}

/**
 * Deletes the batch's test users; an unfinished batch is cancelled first. Users who are not test users stay, and are
 * counted as protected. May be repeated. Throws `batch_not_found`, `pool_is_replica`.
 */
export function deleteBatch(sql: Sql, poolId: number, id: string): Promise<{ deleted: number; protected: number }> {
  return sql.begin(async (tx) => {
    await requireWritable(tx, poolId)
    await cancel(tx, poolId, id)
    await tx`set local lock_timeout to default`
    const { count } = await tx`delete from users where pool_id = ${poolId} and batch_id = ${id} and is_test_user`
    const [kept] = await tx<{ count: number }[]>`
      select count(*)::int as count from users where pool_id = ${poolId} and batch_id = ${id}`
    return { deleted: count, protected: kept?.count ?? 0 }
  })
}

/**
 * The free chunks go first: a worker shares the batch's row while it works, and as long as workers find another chunk to
 * begin, their shares would overlap without a gap, and keep the update of the row waiting to the end of the batch.
 */
async function cancel(tx: TransactionSql, poolId: number, id: string): Promise<void> {
  await tx`select set_config('lock_timeout', ${`${CHUNK_WAIT_MS}ms`}, true)`
  await tx`
    with free as (
      select kind, first_n from chunks
      where pool_id = ${poolId} and batch_id = ${id} and finished_at is null
      for update skip locked
    )
    delete from chunks c using free
    where c.pool_id = ${poolId} and c.batch_id = ${id} and c.kind = free.kind and c.first_n = free.first_n`
  const { count } = await tx`
    update batches set
      status = case when status in ('queued', 'running') then 'cancelled' else status end,
      finished_at = coalesce(finished_at, now())
    where pool_id = ${poolId} and id = ${id}`
  if (count === 0) throw batchNotFound()
}
