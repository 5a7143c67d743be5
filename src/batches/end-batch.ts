import type { Sql, TransactionSql } from 'postgres'
import { setLocal } from '../database/set-local.ts'
import { deleteUsers } from '../pools/delete-users.ts'
import { requireWritable } from '../pools/locks.ts'
import type { BatchErrorCode } from './batch-errors.ts'
import { batchNotFound } from './batches.ts'
import { deleteUnusedCredentials } from './unused-credentials.ts'

/** How long the end of a batch waits for chunks in progress. A second is typical. */
const CHUNK_WAIT_MS = 60_000

/** How long a deletion waits for a user that another writer has locked. */
const USER_WAIT_MS = 60_000

/**
 * Cancels an unfinished batch. No further chunk starts. The call waits for chunks in progress, so that the counts match
 * the existing users afterwards. A finished batch does not change. Throws `batch_not_found`.
 */
export async function cancelBatch(sql: Sql, poolId: number, id: string): Promise<void> {
  await sql.begin((tx) => endBatch(tx, poolId, id, 'cancelled'))
}

/** Ends an unfinished batch after an error that a retry would meet again. Users that it created stay. */
export async function failBatch(sql: Sql, poolId: number, id: string, error: BatchErrorCode): Promise<void> {
  await sql.begin((tx) => endBatch(tx, poolId, id, 'failed', error))
}

export interface Removed {
  deleted: number
  /** Users of the batch that are not test users. They stay. */
  protected: number
  /** False if another removal came before this one. */
  isFirst: boolean
}

interface Removal {
  userWaitMs?: number
  /** Runs in the same transaction, after the deletion. */
  record?: (tx: TransactionSql, removed: Removed) => Promise<void>
}

/**
 * Deletes the batch's test users and everything that only they needed: credentials, the secret, failures. The batch's
 * row stays as a record, and so do users that are not test users. Cancels an unfinished batch first. Idempotent. Throws
 * `batch_not_found`, `pool_is_replica`.
 */
export function deleteBatch(sql: Sql, poolId: number, id: string, removal: Removal = {}): Promise<Removed> {
  const { userWaitMs = USER_WAIT_MS, record } = removal
  return sql.begin(async (tx) => {
    await requireWritable(tx, poolId)
    await endBatch(tx, poolId, id, 'cancelled')
    await setLockTimeout(tx, userWaitMs)
    const deleted = await deleteUsers(tx, { poolId, batchId: id })
    await tx`delete from failures where pool_id = ${poolId} and batch_id = ${id}`
    const { count: first } = await tx`
      update batches set removed_at = now() where pool_id = ${poolId} and id = ${id} and removed_at is null`
    await deleteUnusedCredentials(tx, poolId, id)
    const [kept] = await tx<{ count: number }[]>`
      select count(*)::int as count from users where pool_id = ${poolId} and batch_id = ${id}`
    const removed = { deleted, protected: kept?.count ?? 0, isFirst: first > 0 }
    await record?.(tx, removed)
    return removed
  })
}

/**
 * Ends a batch that is not finished. Deletes free chunks first. Workers hold a shared lock on the batch's row; while
 * they find another chunk to start, their locks could overlap without a gap until the end of the batch.
 */
async function endBatch(
  tx: TransactionSql,
  poolId: number,
  id: string,
  status: 'cancelled' | 'failed',
  error: BatchErrorCode | null = null,
): Promise<void> {
  await setLockTimeout(tx, CHUNK_WAIT_MS)
  await deleteFreeChunks(tx, poolId, id)
  // If a population replaces the record of a deleted one meanwhile, only the next statement sees the new row.
  const batch = (await lockBatch(tx, poolId, id)) ?? (await lockBatch(tx, poolId, id))
  if (!batch) throw batchNotFound()
  if (batch.is_finished) return
  await deleteFreeChunks(tx, poolId, id) // those that a worker released meanwhile
  await tx`
    update batches set status = ${status}, finished_at = now(), last_error = coalesce(${error}, last_error)
    where pool_id = ${poolId} and id = ${id}`
  await deleteUnusedCredentials(tx, poolId, id)
}

async function lockBatch(
  tx: TransactionSql,
  poolId: number,
  id: string,
): Promise<{ is_finished: boolean } | undefined> {
  const [batch] = await tx<{ is_finished: boolean }[]>`
    select finished_at is not null as is_finished from batches where pool_id = ${poolId} and id = ${id} for update`
  return batch
}

/** Deletes by position, because a join of the locked rows with the table compared each with each: 17 s for 10,000 chunks. */
async function deleteFreeChunks(tx: TransactionSql, poolId: number, id: string): Promise<void> {
  await tx`
    delete from chunks where ctid = any(array(
      select ctid from chunks where pool_id = ${poolId} and batch_id = ${id} for update skip locked
    ))`
}

const setLockTimeout = (tx: TransactionSql, milliseconds: number) => setLocal(tx, { lock_timeout: `${milliseconds}ms` })
