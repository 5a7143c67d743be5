import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Sql } from 'postgres'
import { batches, credentials } from '../batches/tables.ts'
import { and, eq, sql as fragment, inArray } from '../database/drizzle.ts'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { scopes, states, tombstones } from '../states/tables.ts'
import { users } from '../users/tables.ts'
import { pools } from './tables.ts'

/** Which users of a pool only exports write: none, its test users, or all, users that are not test users included. */
export type Replica = 'none' | 'test_users' | 'everything'

/** One system under test, apart from the others in names, states and rights. */
export interface Pool {
  name: string
  replica: Replica
  created_at: string
}

const columns = {
  name: pools.name,
  replica: fragment<Replica>`case when ${pools.replicaSince} is null then 'none' else ${pools.mirrors} end`,
  created_at: fragment<string>`rfc3339(${pools.createdAt})`,
}

/** For a name that no pool has, and for a pool that the key has no scope in: an answer that tells them apart would leak names. */
export const poolNotFound = (name: string) =>
  new Problem('pool_not_found', `There is no pool ${name}, or the key has no scope in it.`)

/** The id of a pool. Throws `pool_not_found`. */
export async function findPoolId(sql: Sql, name: string): Promise<number> {
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${name}`
  if (!row) throw poolNotFound(name)
  return row.id
}

/** The pool of this name. Throws `pool_not_found`. */
export async function getPool(orm: PostgresJsDatabase, name: string): Promise<Pool> {
  const [pool] = await orm.select(columns).from(pools).where(eq(pools.name, name))
  if (!pool) throw poolNotFound(name)
  return pool
}

/** One page of pools by name, those after `after`. */
export function listPools(orm: PostgresJsDatabase, after: string, limit: number): Promise<Pool[]> {
  return orm.select(columns).from(pools).where(fragment`${pools.name} > ${after}`).orderBy(pools.name).limit(limit)
}

/** Creates an empty pool, and declares it a replica. Throws `pool_exists`. */
export async function createPool(orm: PostgresJsDatabase, name: string, replica: Replica): Promise<Pool> {
  const declared = replica === 'none' ? {} : { replicaSince: fragment`now()`, mirrors: replica }
  try {
    const [pool] = await orm
      .insert(pools)
      .values({ name, ...declared })
      .returning(columns)
    return pool as Pool
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new Problem('pool_exists', `There is a pool ${name} already.`, { cause: error })
  }
}

/**
 * Removes a pool with all its users, batches and history. Throws `pool_in_use` where it is the default pool, holds a
 * non-test user or an unfinished batch, and `pool_not_found`. It locks the pool's row first, which keeps writers out; it waits
 * for those in progress.
 */
export async function deletePool(orm: PostgresJsDatabase, name: string): Promise<void> {
  await orm.transaction(async (transaction) => {
    const [pool] = await transaction.select({ id: pools.id }).from(pools).where(eq(pools.name, name)).for('update')
    if (!pool) throw poolNotFound(name)
    if (pool.id === 1) throw new Problem('pool_in_use', 'The default pool stays.')
    const isProtected = and(eq(users.poolId, pool.id), eq(users.isTestUser, false))
    const unfinished = and(eq(batches.poolId, pool.id), inArray(batches.status, ['queued', 'running']))
    if ((await transaction.select({ id: users.id }).from(users).where(isProtected).limit(1)).length > 0) {
      throw new Problem('pool_in_use', 'The pool holds users that are not test users; they are never deleted here.')
    }
    if ((await transaction.select({ id: batches.id }).from(batches).where(unfinished).limit(1)).length > 0) {
      throw new Problem('pool_in_use', 'The pool has unfinished batches. Wait for them, or delete them first.')
    }
    await transaction.delete(users).where(eq(users.poolId, pool.id))
    // The users' removal is recorded at commit; done now, so that the record goes with the pool.
    await transaction.execute(fragment`set constraints all immediate`)
    // Batches, templates and targets go with the pool by foreign keys; these tables have none (migrations/0001_tables.sql).
    for (const table of [tombstones, states, scopes, credentials]) {
      await transaction.delete(table).where(eq(table.poolId, pool.id))
    }
    await transaction.delete(pools).where(eq(pools.id, pool.id))
  })
}
