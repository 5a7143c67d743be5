import type { Sql } from 'postgres'
import { QUERY_CANCELED, sqlState } from '../database/sqlstate.ts'
import { isScope } from '../states/filter.ts'
import { isSearch, type Selection, selectsUser } from './selection.ts'

/** The users that a selection names, by what can be done with them. */
export interface LeaseCounts {
  free: number
  leased: number
  dirty: number
  consumed: number
  /** When the first lease of the pool expires; null if none of the users is leased. */
  next_expiry: string | null
}

/**
 * Counts the users of a selection. `free` is what remains of all its test users, so it includes those that `lease_users` does not have
 * yet. Reads every user that is not free and, for a role or attributes, every user: 0.1 to 2 s in a pool of a million.
 */
async function countUsers(sql: Sql, poolId: number, selection: Omit<Selection, 'order'>): Promise<LeaseCounts> {
  const { batchId } = selection
  const scope = { poolId, batchId, testUsersOnly: true, bulkUsersOnly: false }
  const readsUsers = isSearch(selection)
  const total = readsUsers
    ? sql`select count(*) from users u where u.pool_id = ${poolId} ${selectsUser(sql, selection)}`
    : sql`select s.user_count from scopes s where ${isScope(sql, scope, 's')}`
  const isSelected = readsUsers
    ? sql`and exists (select from users u where u.pool_id = l.pool_id and u.id = l.user_id ${selectsUser(sql, selection)} offset 0)`
    : sql`${batchId === undefined ? sql`` : sql`and l.batch_id = ${batchId}`}`
  const [row] = await sql<[Omit<LeaseCounts, 'free'> & { total: number }]>`
    select coalesce((${total}), 0)::float8 as total,
      (count(*) filter (where l.status = 'leased'))::float8 as leased,
      (count(*) filter (where l.status = 'dirty'))::float8 as dirty,
      (count(*) filter (where l.status = 'consumed'))::float8 as consumed,
      (select rfc3339(min(x.expires_at)) from leases x where x.pool_id = ${poolId} and x.ended_at is null) as next_expiry
    from lease_users l
    where l.pool_id = ${poolId} and l.status in ('leased', 'dirty', 'consumed') ${isSelected}`
  const { total: all, next_expiry, ...counts } = row
  const free = Math.max(all - counts.leased - counts.dirty - counts.consumed, 0)
  return { free, ...counts, next_expiry: counts.leased > 0 ? next_expiry : null }
}

/** The users of all pools that lease some, by status. */
export async function countAllUsers(
  sql: Sql,
  counts: ReturnType<typeof createCounts>,
): Promise<Record<'free' | 'leased' | 'dirty' | 'consumed', number>> {
  const pools = await sql<{ id: number; name: string }[]>`
    select p.id, p.name from lease_pools l join pools p on p.id = l.pool_id order by p.id`
  const sums = { free: 0, leased: 0, dirty: 0, consumed: 0 }
  for (const { id, name } of pools) {
    const { free, leased, dirty, consumed } = await counts(id, {
      pool: name,
      attributes: {},
      batchId: undefined,
      role: undefined,
    })
    sums.free += free
    sums.leased += leased
    sums.dirty += dirty
    sums.consumed += consumed
  }
  return sums
}

/** So that counting never takes more than 5 % of a core. */
const REST = 20

/** A count that is done sooner is repeated each time. */
const CHEAP_MS = 50

/**
 * Creates a count for each selection that is never read twice at once, and seldom if it takes long: a slow result is used again for
 * `rest` times as long as it took.
 */
export function createCounts(
  sql: Sql,
  rest = REST,
): (poolId: number, selection: Omit<Selection, 'order'>) => Promise<LeaseCounts> {
  const known = new Map<string, { counts: Promise<LeaseCounts>; until: number }>()
  return async (poolId, selection) => {
    const { batchId, role, attributes } = selection
    const key = JSON.stringify([poolId, batchId, role, attributes])
    const earlier = known.get(key)
    if (earlier && performance.now() < earlier.until) return await earlier.counts
    const entry = { counts: countUsers(sql, poolId, selection), until: Number.POSITIVE_INFINITY }
    known.set(key, entry)
    const begun = performance.now()
    let isCostly = true
    try {
      return await entry.counts
    } catch (error) {
      isCostly = sqlState(error) === QUERY_CANCELED // it may have waited for the database, and read nothing
      throw error
    } finally {
      const took = performance.now() - begun
      entry.until = took < CHEAP_MS || !isCostly ? 0 : begun + took + rest * took
      for (const [other, { until }] of known) if (until < performance.now()) known.delete(other)
    }
  }
}
