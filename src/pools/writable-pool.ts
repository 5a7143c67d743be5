import type { Fragment, ISql } from 'postgres'
import { Problem } from '../errors.ts'

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
