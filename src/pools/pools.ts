import type { ISql, Sql } from 'postgres'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'

/** Which users of a pool only exports write: none, its test users, or all users, including those that are not test users. */
export type Replica = 'none' | 'test_users' | 'everything'

/** What a replica mirrors. */
export type Mirrors = Exclude<Replica, 'none'>

/** One system under test. Names, states and rights are separate in each pool. */
export interface Pool {
  name: string
  replica: Replica
  created_at: string
}

const columns = (sql: ISql) => sql`
  name, case when replica_since is null then 'none' else mirrors end as replica, rfc3339(created_at) as created_at`

/** Same error if the pool does not exist and if the key has no scope in it. Otherwise the error would reveal pool names. */
export const poolNotFound = (name: string) =>
  new Problem('pool_not_found', `There is no pool ${name}, or the key has no scope in it.`)

/** Returns the id of a pool. Throws `pool_not_found`. */
export async function findPoolId(sql: ISql, name: string): Promise<number> {
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${name}`
  if (!row) throw poolNotFound(name)
  return row.id
}

/** Returns the pool with this name. Throws `pool_not_found`. */
export async function getPool(sql: Sql, name: string): Promise<Pool> {
  const [pool] = await sql<Pool[]>`select ${columns(sql)} from pools where name = ${name}`
  if (!pool) throw poolNotFound(name)
  return pool
}

/** Returns one page of pools by name: those after `after`. */
export function listPools(sql: Sql, after: string, limit: number): Promise<Pool[]> {
  return sql<Pool[]>`select ${columns(sql)} from pools where name > ${after} order by name limit ${limit}`
}

/** Creates an empty pool, and declares it a replica. Throws `pool_exists`. */
export async function createPool(sql: Sql, name: string, replica: Replica): Promise<Pool> {
  const declared = replica === 'none' ? sql`default, default` : sql`now(), ${replica}`
  try {
    const [pool] = await sql<[Pool]>`
      with made as (insert into pools (name, replica_since, mirrors) values (${name}, ${declared}) returning *)
      select ${columns(sql)} from made`
    return pool
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new Problem('pool_exists', `The pool ${name} already exists. Choose another name.`, { cause: error })
  }
}

/** For sinks that have users of ours, which nothing could remove afterwards. */
export const targetHoldsUsers = (targets: string[]) =>
  new Problem(
    'target_holds_users',
    `Users are still at: ${targets.join(', ')}. POST /v1/targets/{name}/clear removes them; wait for its run. DELETE with force=true leaves them there.`,
  )
