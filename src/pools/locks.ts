import type { Fragment, ISql } from 'postgres'
import { Problem } from '../errors.ts'
import { poolNotFound } from './pools.ts'

/**
 * Locks the pool until the transaction ends: every writer of its users waits, plain SQL included. Returns the pool's
 * id. Throws `pool_not_found`.
 */
export async function lockPool(tx: ISql, name: string): Promise<number> {
  const [pool] = await tx<{ id: number }[]>`select id from pools where name = ${name} for update`
  if (!pool) throw poolNotFound(name)
  return pool.id
}

/**
 * Locks the pool until the transaction ends, so that those who create templates or targets in it come one after the other and count
 * right. Does not block writers of users, which lock it `for key share`. Throws `pool_not_found` if the pool was removed.
 */
export async function serializeCreations(tx: ISql, poolId: number): Promise<void> {
  const { count: pools } = await tx`select from pools where id = ${poolId} for no key update`
  if (pools === 0) throw poolRemoved()
}

const poolRemoved = () => new Problem('pool_not_found', 'The pool was removed.')

/** For a write into a replica that does not come from an export. */
export const poolIsReplica = () =>
  new Problem('pool_is_replica', 'To write to it, release it first: PATCH /v1/pools/{name} {"replica": "none"}.')

/**
 * Locks the pool until the transaction ends. Until then the pool cannot become a replica and cannot receive an export,
 * because both lock its row for update. Writers do not wait for each other. Throws `pool_is_replica`, and
 * `pool_not_found` if the pool was removed.
 */
export async function requireWritable(sql: ISql, poolId: number): Promise<void> {
  const [pool] = await sql<{ is_replica: boolean }[]>`
    select replica_since is not null as is_replica from pools where id = ${poolId} for key share`
  if (!pool) throw poolRemoved()
  if (pool.is_replica) throw poolIsReplica()
}

/** Returns the pool's id with the same lock, as a value in a writing statement; null if the pool is a replica. */
export function writablePool(sql: ISql, poolId: number): Fragment {
  return sql`(select id from pools where id = ${poolId} and replica_since is null for key share)`
}

/** Throws `pool_in_use` if batches of the pool may still create users. */
export async function requireNoUnfinishedBatch(sql: ISql, poolId: number): Promise<void> {
  const [unfinished] = await sql`
    select from batches where pool_id = ${poolId} and status in ('queued', 'running') limit 1`
  if (unfinished)
    throw new Problem('pool_in_use', 'The pool has unfinished batches. Wait for them, or delete them first.')
}
