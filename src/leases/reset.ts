import type { Sql, TransactionSql } from 'postgres'
import { FIRST_ID } from '../database/id-bounds.ts'
import { requestResends } from '../sync/sinks/resends.ts'
import { type Selection, selectsUser } from './selection.ts'

/*
 * A reset frees dirty and consumed users. What a load test did to a user is in the system under test, so the sinks that have the user
 * write it again first, with its password and attributes. The user waits in lease_resets until all of them have (finish-resets.ts).
 * Without such a sink it is free at once.
 *
 * Every transaction that frees a user locks its row in lease_users first. So a new reset waits until the end of an earlier one is
 * committed.
 */

/** What a reset has done. */
export interface Reset {
  freed: number
  /** Users that are free when the targets have sent them again. */
  waiting: number
  /** The names of these targets. */
  targets: string[]
}

/** Users that one transaction resets. */
const USERS_A_STEP = 5_000

/** Resets the dirty and consumed users that the selection names, step by step. Idempotent. */
export async function resetUsers(sql: Sql, poolId: number, selection: Omit<Selection, 'order'>): Promise<Reset> {
  const reset: Reset = { freed: 0, waiting: 0, targets: [] }
  for (let after: string | undefined = FIRST_ID; after !== undefined; ) {
    const ids: string[] = await readUsed(sql, poolId, after)
    if (ids.length > 0) {
      const step = await resetStep(sql, poolId, ids, selection)
      reset.freed += step.freed
      reset.waiting += step.waiting
      reset.targets = [...new Set([...reset.targets, ...step.targets])].toSorted()
    }
    after = ids.at(-1)
  }
  return reset
}

async function readUsed(sql: Sql, poolId: number, after: string): Promise<string[]> {
  const rows = await sql<{ user_id: string }[]>`
    select l.user_id from lease_users l
    where l.pool_id = ${poolId} and l.user_id > ${after} and l.status in ('dirty', 'consumed')
    order by l.user_id limit ${USERS_A_STEP}`
  return rows.map(({ user_id }) => user_id)
}

async function resetStep(sql: Sql, poolId: number, ids: string[], selection: Omit<Selection, 'order'>): Promise<Reset> {
  return await sql.begin(async (tx) => {
    const used = await lockUsed(tx, poolId, ids, selection)
    const { userIds, targets } = await requestResends(tx, poolId, used)
    const waiting = used.filter((id) => userIds.has(id))
    const free = used.filter((id) => !userIds.has(id))
    if (waiting.length > 0) {
      await tx`
        insert into lease_resets (pool_id, user_id) select ${poolId}, id from unnest(${waiting}::uuid[]) id on conflict do nothing`
    }
    if (free.length > 0) await freeUsed(tx, poolId, free)
    return { freed: free.length, waiting: waiting.length, targets }
  })
}

/** Locks those of the users that are dirty or consumed and selected, in the order of ids. The lock on the pool waits for its deletion. */
async function lockUsed(
  tx: TransactionSql,
  poolId: number,
  ids: string[],
  selection: Omit<Selection, 'order'>,
): Promise<string[]> {
  const rows = await tx<{ user_id: string }[]>`
    select l.user_id from lease_users l
    where l.pool_id = (select id from pools where id = ${poolId} for key share) and l.user_id = any(${ids}::uuid[])
      and l.status in ('dirty', 'consumed') and exists (
        select from users u where u.pool_id = l.pool_id and u.id = l.user_id ${selectsUser(tx, selection)} offset 0
      )
    for update of l`
  return rows.map(({ user_id }) => user_id).toSorted()
}

/** Frees dirty and consumed users that the transaction has locked. */
export async function freeUsed(tx: TransactionSql, poolId: number, ids: string[]): Promise<void> {
  await tx`
    update lease_users l set status = 'free', note = null
    where l.pool_id = ${poolId} and l.user_id = any(${ids}::uuid[]) and l.status in ('dirty', 'consumed')`
}
