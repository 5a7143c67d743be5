import type { Fragment, ISql, Sql } from 'postgres'
import { Problem } from '../errors.ts'
import { findPoolId } from '../pools/pools.ts'

export const OUTCOMES = ['clean', 'dirty', 'consumed'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** Receives how leases ended. */
export interface EndObserver {
  leasesEnded(ending: 'returned' | 'expired' | 'forced' | 'abandoned', count: number): void
}

/** The lease that a request names. */
export interface LeaseName {
  /** The name of the pool. */
  pool: string
  id: string
  fence: number
}

/** Leases that one statement of the sweep ends. */
const LEASES_A_SWEEP = 100

export const leaseLost = () =>
  new Problem(
    'lease_lost',
    'It expired, was ended, belongs to another pool than `pool`, or the fence is of another lease. Its users may be with others: stop using them, and request new ones.',
  )

/** Throws `pool_not_found`, or else `lease_lost`: why a statement found no lease that is alive. */
export async function failLost(sql: ISql, pool: string): Promise<never> {
  await findPoolId(sql, pool)
  throw leaseLost()
}

export const leaseNotFound = () =>
  new Problem(
    'lease_not_found',
    'The id is wrong, the lease belongs to another pool than `pool`, or it ended longer ago than AUDIT_RETENTION.',
  )

/**
 * Locks the named lease. The first CTE of a statement with the condition `isAlive`: PostgreSQL checks the condition of an update before it
 * waits for a row lock, and again only if the row was changed, so a lease could be renewed after its end.
 */
export const lockLease = (sql: ISql, { pool, id, fence }: LeaseName): Fragment => sql`
  locked as materialized (
    select x.pool_id, x.id from leases x
    where x.pool_id = (select id from pools where name = ${pool}) and x.id = ${id} and x.fence = ${fence} and x.ended_at is null
    for update
  ), moment as materialized (
    select clock_timestamp() as at from (select count(*) from locked) l
  )`

/** Whether a row of `leases x` is the locked lease, and its time is not over. */
export const isAlive = (sql: ISql): Fragment => sql`
  x.pool_id = (select pool_id from locked) and x.id = (select id from locked)
  and x.ended_at is null and x.expires_at > (select at from moment)`

/**
 * Frees the users of the leases in `ended`. Rows of `ended` have pool_id, id, user_ids and outcome; the pool and the outcome of all are
 * the same. A user that was returned before has another status or lease. A user that is gone stays gone.
 *
 * Arrays, not a join: PostgreSQL may join in either order. If it expects few users in the pool, it reads all of them for each lease.
 */
export const freeUsers = (sql: ISql): Fragment => sql`
  update lease_users l
  set status = case
    when l.status = 'gone' then 'gone'
    else coalesce((select nullif(outcome, 'clean') from ended limit 1), 'free') end
  where l.pool_id = (select pool_id from ended limit 1)
    and l.user_id = any(array(select unnest(user_ids) from ended))
    and l.status in ('leased', 'gone') and l.lease_id = any(array(select id from ended))`

/**
 * Returns all users of a lease, and ends it. Returns how many it still had. Idempotent: 0 if it was returned before, which changes
 * nothing. Throws `lease_lost`.
 */
export async function returnLease(sql: Sql, lease: LeaseName, outcome: Outcome): Promise<number> {
  const [ended] = await sql<{ users: number }[]>`
    with ${lockLease(sql, lease)}, ended as (
      update leases x set ended_at = now(), ending = 'returned', outcome = ${outcome} where ${isAlive(sql)}
      returning x.pool_id, x.id, x.user_ids, x.outcome
    ), freed as (${freeUsers(sql)} returning l.user_id)
    select (select count(*)::int from freed) as users from ended`
  if (ended) return ended.users
  await requireReturned(sql, lease)
  return 0
}

/** Throws `lease_lost` or `pool_not_found` unless this lease was returned as a whole. */
export async function requireReturned(sql: ISql, { pool, id, fence }: LeaseName): Promise<void> {
  const [row] = await sql`
    select from leases x join pools p on p.id = x.pool_id
    where p.name = ${pool} and x.id = ${id} and x.fence = ${fence} and x.ending = 'returned'`
  if (!row) await failLost(sql, pool)
}

/** Ends a lease by force, or because its client left before it had the response. Returns false if it is over or unknown. */
export async function endLease(
  sql: Sql,
  { pool, id }: Omit<LeaseName, 'fence'>,
  ending: 'forced' | 'abandoned',
): Promise<boolean> {
  const ended = await sql<{ id: string }[]>`
    with ended as (
      update leases x set ended_at = now(), ending = ${ending}
      where x.pool_id = (select id from pools where name = ${pool}) and x.id = ${id} and x.ended_at is null
      returning x.pool_id, x.id, x.user_ids, x.outcome
    ), freed as (${freeUsers(sql)})
    select id from ended`
  return ended.length > 0
}

/**
 * Ends up to 100 leases of the pool whose time is over, and frees their users. Returns how many. `now()` is the start of the statement,
 * so no lease is ended early. A lease that is renewed at the same moment is locked, and is skipped. `due` has locked its leases, so
 * nobody else has ended them.
 */
export async function sweepLeases(sql: Sql, poolId: number): Promise<number> {
  const ended = await sql<{ id: string }[]>`
    with due as materialized (
      select x.id from leases x where x.pool_id = ${poolId} and x.ended_at is null and x.expires_at <= now()
      order by x.expires_at limit ${LEASES_A_SWEEP} for update skip locked
    ), ended as (
      update leases x set ended_at = x.expires_at, ending = 'expired'
      where x.pool_id = ${poolId} and x.id = any(array(select id from due))
      returning x.pool_id, x.id, x.user_ids, x.outcome
    ), freed as (${freeUsers(sql)})
    select id from ended`
  return ended.length
}
