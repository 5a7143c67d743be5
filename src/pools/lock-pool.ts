import type { ISql } from 'postgres'
import { poolNotFound } from './pools.ts'

/** Locks the pool until the transaction ends: every writer of its users waits, plain SQL included. Returns its id. Throws `pool_not_found`. */
export async function lockPool(tx: ISql, name: string): Promise<number> {
  const [pool] = await tx<{ id: number }[]>`select id from pools where name = ${name} for update`
  if (!pool) throw poolNotFound(name)
  return pool.id
}
