import type { Sql, TransactionSql } from 'postgres'
import { readOpenResends } from '../sync/sinks/resends.ts'
import { freeUsed } from './reset.ts'

/** Users that one transaction looks at. */
const USERS_A_STEP = 5_000

/** What became of users that waited for targets. */
export interface Finished {
  freed: number
  /** Users that a target has not put right. They stay dirty or consumed, and a further reset tries again. */
  failed: number
  /** The last user of this step; undefined if there are no more. */
  last: string | undefined
}

/**
 * Looks at the next users after an id that wait for targets, and ends the resets whose targets are done: their users are free, or stay
 * as they are if a target has failed with them. Another process may look at the same users: each is freed once.
 */
export async function finishResets(sql: Sql, poolId: number, after: string): Promise<Finished> {
  return await sql.begin(async (tx) => {
    const users = await lockWaiting(tx, poolId, after)
    if (users.length === 0) return { freed: 0, failed: 0, last: undefined }
    const ids = users.map(({ user_id }) => user_id)
    const { waiting, failed } = await readOpenResends(tx, poolId, ids)
    const ended = users.filter(({ user_id, is_used }) => !is_used || failed.has(user_id) || !waiting.has(user_id))
    const right = ended.filter(({ user_id, is_used }) => is_used && !failed.has(user_id))
    if (ended.length > 0) {
      await tx`
        delete from lease_resets where pool_id = ${poolId} and user_id = any(${ended.map(({ user_id }) => user_id)}::uuid[])`
      await freeUsed(
        tx,
        poolId,
        right.map(({ user_id }) => user_id),
      )
    }
    return { freed: right.length, failed: failed.size, last: ids.at(-1) }
  })
}

interface WaitingUser {
  user_id: string
  /** Whether the user is dirty or consumed, as it was when it was reset. */
  is_used: boolean
}

async function lockWaiting(tx: TransactionSql, poolId: number, after: string): Promise<WaitingUser[]> {
  const rows = await tx<WaitingUser[]>`
    select l.user_id, l.status in ('dirty', 'consumed') as is_used from lease_users l
    where l.pool_id = ${poolId} and l.user_id = any(array(
      select r.user_id from lease_resets r where r.pool_id = ${poolId} and r.user_id > ${after}
      order by r.user_id limit ${USERS_A_STEP}
    ))
    for update skip locked`
  return [...rows].toSorted((a, b) => (a.user_id < b.user_id ? -1 : 1))
}

/** Counts the users that wait for targets. */
export async function countResetting(sql: Sql, poolId: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from lease_resets where pool_id = ${poolId}`
  return row?.count ?? 0
}
