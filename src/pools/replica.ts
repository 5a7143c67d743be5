import type { ISql, Sql } from 'postgres'
import { lockPool, requireNoUnfinishedBatch } from './locks.ts'
import { type Mirrors, poolNotFound, type Replica } from './pools.ts'

/**
 * Declares the pool a replica, whose users come only from exports, or releases it. Waits for writers in progress.
 * Throws `pool_in_use` if unfinished batches would still create users in a replica, and `pool_not_found`.
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

/** Makes the pool a replica of this extent. The caller has locked the pool and checked that no batch is unfinished. */
export async function declareReplica(tx: ISql, poolId: number, mirrors: Mirrors): Promise<void> {
  // `least` ignores a null. Citus refuses now() in COALESCE.
  await tx`update pools set replica_since = least(replica_since, now()), mirrors = ${mirrors} where id = ${poolId}`
}

/** Returns what the pool is a replica of. Throws `pool_not_found`. */
export async function readReplica(sql: ISql, name: string): Promise<Replica> {
  const [row] = await sql<{ replica: Replica }[]>`
    select case when replica_since is null then 'none' else mirrors end as replica from pools where name = ${name}`
  if (!row) throw poolNotFound(name)
  return row.replica
}
