import type { Sql, TransactionSql } from 'postgres'
import { Problem } from '../errors.ts'
import { deleteUsers } from './delete-users.ts'
import { lockPool, requireNoUnfinishedBatch } from './locks.ts'
import { targetHoldsUsers } from './pools.ts'

/**
 * Removes a pool with all its users, batches and history. Locks the pool's row first, which blocks new writers, and
 * waits for writers in progress. Throws `pool_not_found`. Throws `pool_in_use` if it is the default pool, or contains a
 * non-test user or an unfinished batch. Throws `target_holds_users` without `force` if sinks have users of the pool.
 */
export async function deletePool(sql: Sql, name: string, { force }: { force: boolean }): Promise<void> {
  await sql.begin(async (tx) => {
    const poolId = await lockPool(tx, name)
    if (poolId === 1) throw new Problem('pool_in_use', 'The default pool cannot be removed.')
    await requireOnlyTestUsers(tx, poolId)
    await requireNoUnfinishedBatch(tx, poolId)
    if (!force) await requireNoSinkUsers(tx, poolId)
    await deleteUsers(tx, { poolId })
    await tx`delete from part_changes where pool_id = ${poolId}` // else the commit would record a state of the pool
    // Foreign keys delete batches, templates and targets with the pool. The tables below have none, because triggers
    // or leases write them.
    await tx`delete from tombstones where pool_id = ${poolId}`
    await tx`delete from states where pool_id = ${poolId}`
    await tx`delete from scopes where pool_id = ${poolId}`
    await tx`delete from credentials where pool_id = ${poolId}`
    await deleteLeases(tx, poolId)
    await tx`delete from pools where id = ${poolId}`
  })
}

/**
 * In this order: the first waits for users that are being added to lease_users (fill.ts) and stops that, the second waits for leases that
 * are being granted (grant.ts) and stops those. Otherwise their rows would stay.
 */
async function deleteLeases(tx: TransactionSql, poolId: number): Promise<void> {
  await tx`delete from lease_pools where pool_id = ${poolId}`
  await tx`delete from lease_users where pool_id = ${poolId}`
  await tx`delete from leases where pool_id = ${poolId}`
  await tx`delete from lease_resets where pool_id = ${poolId}`
}

async function requireOnlyTestUsers(tx: TransactionSql, poolId: number): Promise<void> {
  const [pool] = await tx<{ holds_others: boolean }[]>`
    select exists (select from users where pool_id = ${poolId} and not is_test_user offset 0) as holds_others`
  if (pool?.holds_others)
    throw new Problem('pool_in_use', 'The pool has users that are not test users. The service never deletes them.')
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
