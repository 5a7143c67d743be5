import type { ISql, Sql, TransactionSql } from 'postgres'
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

/**
 * Removes a pool with all its users, batches and history. Locks the pool's row first, which blocks new writers, and
 * waits for writers in progress. Throws `pool_not_found`. Throws `pool_in_use` if it is the default pool, or contains a
 * non-test user or an unfinished batch. Throws `target_holds_users` without `force` if sinks have users of the pool.
 */
export async function deletePool(sql: Sql, name: string, { force }: { force: boolean }): Promise<void> {
  await sql.begin(async (tx) => {
    const [pool] = await tx<{ id: number }[]>`select id from pools where name = ${name} for update`
    if (!pool) throw poolNotFound(name)
    if (pool.id === 1) throw new Problem('pool_in_use', 'The default pool cannot be removed.')
    await requireUnused(tx, pool.id)
    if (!force) await requireNoSinkUsers(tx, pool.id)
    await tx`delete from users where pool_id = ${pool.id}`
    await tx`delete from part_changes where pool_id = ${pool.id}` // else the commit would record a state of the pool
    // Foreign keys delete batches, templates and targets with the pool. The tables below have none, because triggers
    // or leases write them.
    await tx`delete from tombstones where pool_id = ${pool.id}`
    await tx`delete from states where pool_id = ${pool.id}`
    await tx`delete from scopes where pool_id = ${pool.id}`
    await tx`delete from credentials where pool_id = ${pool.id}`
    await tx`delete from leases where pool_id = ${pool.id}`
    await tx`delete from lease_users where pool_id = ${pool.id}`
    await tx`delete from lease_resets where pool_id = ${pool.id}`
    await tx`delete from pools where id = ${pool.id}`
  })
}

async function requireUnused(tx: TransactionSql, poolId: number): Promise<void> {
  const [pool] = await tx<{ holds_others: boolean; has_unfinished: boolean }[]>`
    select exists (select from users where pool_id = ${poolId} and not is_test_user offset 0) as holds_others,
      exists (select from batches where pool_id = ${poolId} and status in ('queued', 'running') offset 0) as has_unfinished`
  if (pool?.holds_others) {
    throw new Problem('pool_in_use', 'The pool has users that are not test users. The service never deletes them.')
  }
  if (pool?.has_unfinished) {
    throw new Problem('pool_in_use', 'The pool has unfinished batches. Wait for them, or delete them first.')
  }
}

/** Also locks the targets, so that no run writes users there until the transaction ends. */
async function requireNoSinkUsers(tx: TransactionSql, poolId: number): Promise<void> {
  await tx`select from targets where pool_id = ${poolId} for update`
  const holding = await tx<{ name: string }[]>`
    select t.name from targets t
    where t.pool_id = ${poolId} and (
      exists (
        select from sink_users s
        where s.pool_id = t.pool_id and s.target = t.name and s.external is not null offset 0
      )
      or exists (select from sink_announcements a where a.pool_id = t.pool_id and a.target = t.name)
    )
    order by t.name`
  if (holding.length > 0) throw targetHoldsUsers(holding.map(({ name }) => name))
}
