import type { Fragment, ISql, Sql, TransactionSql } from 'postgres'
import { invalidRequest, MAX_FAULTS } from '../errors.ts'
import { freeUsers, isAlive, type LeaseName, lockLease, type Outcome, requireReturned } from './end-leases.ts'
import { isUnreturned } from './lease-users.ts'

/** A user that its holder returns before the lease ends. */
export interface ReturnedUser {
  id: string
  outcome: Outcome
  note?: string
}

/** What is left of the lease. */
export interface Rest {
  returned_count: number
  held_count: number
}

/**
 * Returns some users of a lease; the last one ends it, apart from users that were deleted. Idempotent: a user that was returned before
 * keeps its first outcome and is not counted. Throws `lease_lost`, and `invalid_request` if a user is not of the lease; then nothing changes.
 */
export async function returnUsers(sql: Sql, lease: LeaseName, users: ReturnedUser[]): Promise<Rest> {
  return await sql.begin(async (tx) => {
    const [row] = await tx<{ pool_id: number; user_ids: string[] }[]>`
      with ${lockLease(tx, lease)} select x.pool_id, x.user_ids from leases x where ${isAlive(tx)}`
    if (!row) {
      await requireReturned(tx, lease)
      return { returned_count: 0, held_count: 0 }
    }
    requireOfLease(users, new Set(row.user_ids))
    const returned = await freeReturned(tx, row.pool_id, lease.id, users)
    const held = await countHeld(tx, row.pool_id, lease.id)
    if (held === 0) await endEmpty(tx, row.pool_id, lease.id)
    return { returned_count: returned, held_count: held }
  })
}

function requireOfLease(users: ReturnedUser[], ofLease: Set<string>): void {
  const foreign = users.flatMap(({ id }, n) => (ofLease.has(id.toLowerCase()) ? [] : [`body.users[${n}].id`]))
  if (foreign.length === 0) return
  const message = 'is not a user of this lease'
  throw invalidRequest(foreign.slice(0, MAX_FAULTS).map((path) => ({ path, code: 'not_of_lease', message })))
}

/** Returns how many were not returned before. Statements without a join: PostgreSQL may join in either order, and read the pool. */
async function freeReturned(
  tx: TransactionSql,
  poolId: number,
  leaseId: string,
  users: ReturnedUser[],
): Promise<number> {
  const ids = users.map(({ id }) => id)
  const rows = await tx<{ user_id: string }[]>`
    select l.user_id from lease_users l
    where l.pool_id = ${poolId} and l.user_id = any(${ids}::uuid[]) and l.lease_id = ${leaseId} and l.status in ('leased', 'gone')`
  const onLease = new Set(rows.map(({ user_id }) => user_id))
  const returned = [...new Map(users.toReversed().map((user) => [user.id.toLowerCase(), user])).values()] // the first of each
    .filter(({ id }) => onLease.has(id.toLowerCase()))
  const { count } = await tx`
    insert into lease_returns (pool_id, lease_id, user_id, outcome, note)
    select ${poolId}::int, ${leaseId}::uuid, r.id, r.outcome, r.note
    from unnest(${returned.map(({ id }) => id)}::uuid[], ${returned.map(({ outcome }) => outcome)}::text[],
      ${returned.map(({ note }) => note ?? null)}::text[]) r (id, outcome, note)
    order by r.id
    on conflict do nothing`
  await tx`
    update lease_users l
    set (status, note) = (
      select case when l.status = 'gone' then 'gone' else coalesce(nullif(r.outcome, 'clean'), 'free') end, r.note
      from lease_returns r where r.pool_id = l.pool_id and r.lease_id = l.lease_id and r.user_id = l.user_id
    )
    where l.pool_id = ${poolId} and l.user_id = any(${ids}::uuid[]) and l.lease_id = ${leaseId} and l.status in ('leased', 'gone')`
  return count
}

/** The users of the lease `x` that exist and were not returned. */
const heldUsers = (sql: ISql): Fragment => sql`
  from unnest(x.user_ids) g (user_id)
  cross join lateral (
    select from users u where u.pool_id = x.pool_id and u.id = g.user_id and u.is_test_user offset 0
  ) u
  where ${isUnreturned(sql)}`

async function countHeld(tx: TransactionSql, poolId: number, leaseId: string): Promise<number> {
  const [row] = await tx<{ held: number }[]>`
    select (select count(*)::int ${heldUsers(tx)}) as held from leases x where x.pool_id = ${poolId} and x.id = ${leaseId}`
  return row?.held ?? 0
}

/** Ends a lease that has no user left. A deleted user may be created again with its id: then it is free. Returns whether it was alive. */
async function endEmpty(sql: ISql, poolId: number, leaseId: string): Promise<boolean> {
  const ended = await sql`
    with ended as (
      update leases x set ended_at = now(), ending = 'returned'
      where x.pool_id = ${poolId} and x.id = ${leaseId} and x.ended_at is null
      returning x.pool_id, x.id, x.user_ids, x.outcome
    ), freed as (${freeUsers(sql)})
    select from ended`
  return ended.length > 0
}

/**
 * Ends those of the leases whose users were returned, apart from some that were deleted since then. Returns how many. A lease of which no
 * user was returned stays: its holder hears at its next renewal that they are gone.
 */
export async function endEmptied(sql: Sql, poolId: number, leaseIds: string[]): Promise<number> {
  const emptied = await sql<{ id: string }[]>`
    select x.id from leases x
    where x.pool_id = ${poolId} and x.id = any(${leaseIds}::uuid[]) and x.ended_at is null
      and exists (select from lease_returns r where r.pool_id = x.pool_id and r.lease_id = x.id offset 0)
      and not exists (select ${heldUsers(sql)} offset 0)`
  let ended = 0
  for (const { id } of emptied) if (await endEmpty(sql, poolId, id)) ended++
  return ended
}
