import type { TransactionSql } from 'postgres'
import { sqlState } from '../database/connection.ts'
import { Problem } from '../errors.ts'
import { poolNotFound } from './pools.ts'

/** How long one lock is waited for; an import in work may hold the pool for minutes. */
const LOCK_TIMEOUT_MS = 5_000

const LOCK_NOT_AVAILABLE = '55P03'

/** For who was held up by another writer of the pool, and may come again. */
export const poolIsBusy = (cause: unknown) =>
  new Problem('overloaded', 'Another writer holds the pool. Nothing was changed; try again.', {
    headers: { 'retry-after': '5' },
    cause,
  })

/**
 * Locks the pool until the transaction ends: whoever writes its users, by plain SQL too, waits for it. Gives its id. No lock
 * is waited for longer than 5 s, this one and those that the transaction takes later. Throws `overloaded`, `pool_not_found`.
 */
export async function lockPool(tx: TransactionSql, name: string): Promise<number> {
  await tx`select set_config('lock_timeout', ${`${LOCK_TIMEOUT_MS}ms`}, true)`
  try {
    const [pool] = await tx<{ id: number }[]>`select id from pools where name = ${name} for update`
    if (pool) return pool.id
  } catch (error) {
    throw sqlState(error) === LOCK_NOT_AVAILABLE ? poolIsBusy(error) : error
  }
  throw poolNotFound(name)
}
