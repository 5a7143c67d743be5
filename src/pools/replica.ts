import type { ISql, Sql } from 'postgres'
import { Problem } from '../errors.ts'
import { lockPool } from './lock-pool.ts'

/**
 * Declares the pool a replica, whose users only exports write, or releases it. It waits for writers in progress.
 * Throws `pool_in_use` where unfinished batches would go on to make users in a replica, and `pool_not_found`.
 */
export async function setReplica(sql: Sql, name: string, isReplica: boolean): Promise<void> {
  await sql.begin(async (tx) => {
    const poolId = await lockPool(tx, name)
    if (isReplica) {
      await requireNoUnfinishedBatch(tx, poolId)
      await declareReplica(tx, poolId)
    } else {
      await tx`update pools set replica_since = null where id = ${poolId}`
    }
  })
}

/** Makes the pool a replica, if it is none. It must be locked, and without unfinished batches. */
export async function declareReplica(tx: ISql, poolId: number): Promise<void> {
  await tx`update pools set replica_since = coalesce(replica_since, now()) where id = ${poolId}`
}

/** Throws `pool_in_use` where batches of the pool may still make users. */
export async function requireNoUnfinishedBatch(sql: ISql, poolId: number): Promise<void> {
  const [unfinished] = await sql`
    select from batches where pool_id = ${poolId} and status in ('queued', 'running') limit 1`
  if (unfinished)
    throw new Problem('pool_in_use', 'The pool has unfinished batches. Wait for them, or delete them first.')
}
