import type { Sql } from 'postgres'
import { deleteBatch } from '../batches/end-batch.ts'
import { isHeldUp } from '../database/connection.ts'
import { Problem } from '../errors.ts'
import { expiredBatches } from './candidates.ts'

/** What the removal of an expired batch did. */
export interface ExpiredBatch {
  batch_id: string
  pool: string
  deleted_count: number
  protected_count: number
}

/**
 * Removes the test users of up to `limit` expired batches, a transaction to each, and tells each as it is done; unfinished ones
 * are cancelled first. Who is not a test user stays, and is counted. Two at once do no harm: the second finds nothing left.
 */
export async function* expireBatches(
  sql: Sql,
  selection: { poolId: number | undefined; limit: number },
  signal?: AbortSignal,
): AsyncGenerator<ExpiredBatch, void, void> {
  for (const { pool_id, pool, id } of await expiredBatches(sql, selection)) {
    if (signal?.aborted) break
    try {
      const counts = await deleteBatch(sql, pool_id, id)
      yield { batch_id: id, pool, deleted_count: counts.deleted, protected_count: counts.protected }
    } catch (error) {
      // Gone with its pool, or its pool has become a replica, between the look and the removal; or held up, which is no reason to
      // let the others wait.
      if (!(error instanceof Problem) && !isHeldUp(error)) throw error
    }
  }
}
