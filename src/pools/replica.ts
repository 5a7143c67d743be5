import type { ISql, Sql } from 'postgres'
import { Problem } from '../errors.ts'
import { lockPool } from './lock-pool.ts'
import { poolNotFound, type Replica } from './pools.ts'

/**
 * Declares the pool a replica, whose users only exports write, or releases it. It waits for writers in progress.
 * Throws `pool_in_use` where unfinished batches would go on to make users in a replica, and `pool_not_found`.
 */
export async function setReplica(sql: Sql, name: string, replica: Replica): Promise<void> {
  await sql.begin(async (tx) => {
    const poolId = await lockPool(tx, name)
    if (replica === 'none') {
      await tx`update pools set replica_since = null where id = ${poolId}`
    } else {
      await requireNoUnfinishedBatch(tx, poolId)
      await declareReplica(tx, poolId, replica)
    }
  })
}

/** Makes the pool a replica of this extent. It must be locked, and without unfinished batches. */
export async function declareReplica(tx: ISql, poolId: number, mirrors: Exclude<Replica, 'none'>): Promise<void> {
  await tx`update pools set replica_since = coalesce(replica_since, now()), mirrors = ${mirrors} where id = ${poolId}`
}

/** What the pool is a replica of. Throws `pool_not_found`. */
export async function readReplica(sql: ISql, name: string): Promise<Replica> {
  const [row] = await sql<{ replica: Replica }[]>`
    select case when replica_since is null then 'none' else mirrors end as replica from pools where name = ${name}`
  if (!row) throw poolNotFound(name)
  return row.replica
}

/** Throws `pool_in_use` where batches of the pool may still make users. */
export async function requireNoUnfinishedBatch(sql: ISql, poolId: number): Promise<void> {
  const [unfinished] = await sql`
    select from batches where pool_id = ${poolId} and status in ('queued', 'running') limit 1`
  if (unfinished)
    throw new Problem('pool_in_use', 'The pool has unfinished batches. Wait for them, or delete them first.')
}
