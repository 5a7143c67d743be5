import type { Fragment, ISql, Sql } from 'postgres'
import { Problem } from '../errors.ts'
import { poolNotFound, type Replica } from './pools.ts'

/** Locks the pool until the transaction ends: every writer of its users waits, plain SQL included. Returns its id. Throws `pool_not_found`. */
export async function lockPool(tx: ISql, name: string): Promise<number> {
  const [pool] = await tx<{ id: number }[]>`select id from pools where name = ${name} for update`
  if (!pool) throw poolNotFound(name)
  return pool.id
}

/** For a write of users into a replica that is no export. */
export const poolIsReplica = () =>
  new Problem('pool_is_replica', 'PATCH /v1/pools/{name} {"replica": "none"} takes it out of its source’s hands.')

/**
 * Locks the pool until the transaction ends, so that it does not become a replica and takes no export meanwhile: both lock
 * its row for update. Writers do not wait for each other. Throws `pool_is_replica`, and `pool_not_found` where it was removed.
 */
export async function requireWritable(sql: ISql, poolId: number): Promise<void> {
  const [pool] = await sql<{ is_replica: boolean }[]>`
    select replica_since is not null as is_replica from pools where id = ${poolId} for key share`
  if (!pool) throw new Problem('pool_not_found', 'The pool was removed.')
  if (pool.is_replica) throw poolIsReplica()
}

/** The pool's id with the same lock, as a value in a statement that writes; null where the pool is a replica. */
export function writablePool(sql: ISql, poolId: number): Fragment {
  return sql`(select id from pools where id = ${poolId} and replica_since is null for key share)`
}

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
