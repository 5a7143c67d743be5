import type { ISql, Sql } from 'postgres'
import { poolNotFound } from '../pools/pools.ts'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import { ANY_BATCH, type Filter, isScope, isScopeInPool, selectsInPool } from './filter.ts'

/** The state of a scope in one snapshot. */
export interface ScopeState {
  state: State
  userCount: number
  /** The version of the last commit that touched the scope; 0 if there is none. Text, because it may exceed 2^53. */
  version: string
}

/** The state of a pool's scope. */
export interface PoolScopeState extends ScopeState {
  poolId: number
  /** RFC 3339. A pool that is deleted and created again has another one. */
  poolCreatedAt: string
}

interface ScopeRow {
  pool_id: number
  pool_created_at: string
  state: State | null
  user_count: number
  version: string
}

/** Returns the pool's id and the current state of its filter, in one look-up that reads no user. Throws `pool_not_found`. */
export async function lookUpScope(sql: ISql, pool: string, filter: Omit<Filter, 'poolId'>): Promise<PoolScopeState> {
  const [row] = await sql<ScopeRow[]>`
    select p.id as pool_id, rfc3339(p.created_at) as pool_created_at, coalesce(s.user_count, 0)::float8 as user_count, coalesce(s.version, 0) as version,
      state_name(s.word_0, s.word_1, s.word_2, s.word_3) as state
    from pools p
    left join scopes s on s.pool_id = p.id and s.batch_id = ${filter.batchId ?? ANY_BATCH}
      and s.test_users_only = ${filter.testUsersOnly} and s.bulk_users_only = ${filter.bulkUsersOnly}
    where p.name = ${pool}`
  if (!row) throw poolNotFound(pool)
  const { pool_id: poolId, pool_created_at: poolCreatedAt, user_count: userCount, version } = row
  return { poolId, poolCreatedAt, state: row.state ?? EMPTY_STATE, userCount, version }
}

/**
 * Returns the state and count that the filter will have after this transaction, whose changes the triggers add at the commit. Exact
 * while the pool is locked. `set constraints all immediate` would add them now, but Citus does not pass it on to its workers.
 */
export async function lookUpPending(tx: ISql, filter: Filter): Promise<Pick<ScopeState, 'state' | 'userCount'>> {
  const [row] = await tx<{ state: State; user_count: number }[]>`
    select coalesce(sum(t.user_count), 0)::float8 as user_count, state_name(
      wrap_word(coalesce(sum(t.word_0), 0)), wrap_word(coalesce(sum(t.word_1), 0)),
      wrap_word(coalesce(sum(t.word_2), 0)), wrap_word(coalesce(sum(t.word_3), 0))) as state
    from (
      select s.user_count, s.word_0::numeric, s.word_1::numeric, s.word_2::numeric, s.word_3::numeric
      from scopes s where ${isScope(tx, filter, 's')}
      union all
      select t.user_count, t.word_0, t.word_1, t.word_2, t.word_3
      from part_changes t where t.pool_id = ${filter.poolId} ${selectsInPool(tx, filter, 't')}
    ) t`
  return { state: row?.state ?? EMPTY_STATE, userCount: row?.user_count ?? 0 }
}

/** A state that a delta can start from, and the latest version at which the scope had it. */
export interface Base {
  state: State
  version: string
}

/** A base, and how long ago the scope last reached that state; null for the empty state before the first commit. */
export interface AgedBase extends Base {
  ageSeconds: number | null
}

/**
 * Returns the most recent base among the states that the client has. Returns `expired` if the scope had one of them
 * but later tombstones are pruned: a delta could miss deletions. Returns `unknown` if the scope never had any of them,
 * or no longer remembers them.
 *
 * Pruning removes the beginning of a history, so it is enough to check the next state. A state may recur; its latest
 * version gives the shortest delta. Version 0 is before the first commit.
 */
export async function findBase(
  sql: Sql,
  filter: Filter,
  present: ScopeState,
  knownStates: readonly State[],
): Promise<AgedBase | 'expired' | 'unknown'> {
  const [row] = await sql<(Base & { age_seconds: number | null; usable: boolean })[]>`
    select b.state, b.version, extract(epoch from clock_timestamp() - b.recorded_at)::float8 as age_seconds,
      b.version = ${present.version} or (
        select e.pruned_at is null from states e where ${isScope(sql, filter, 'e')} and e.version > b.version
        order by e.version limit 1
      ) as usable
    from (
      select e.state, e.version, e.recorded_at from states e where ${isScope(sql, filter, 'e')} and e.state = any(${knownStates}::text[])
      union all
      select ${EMPTY_STATE}, 0, null where ${knownStates.includes(EMPTY_STATE)}
    ) b
    order by b.version desc limit 1`
  if (!row) return 'unknown'
  return row.usable ? { state: row.state, version: row.version, ageSeconds: row.age_seconds } : 'expired'
}

/** Whether the scope has had a state more than once, as far as it is remembered. */
export async function isRecurring(sql: Sql, filter: Filter, state: State): Promise<boolean> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count
    from (select from states e where ${isScope(sql, filter, 'e')} and e.state = ${state} limit 2) found`
  return (row?.count ?? 0) > 1
}

/**
 * Returns when the oldest usable base of the scope was recorded, or null if there is none. It is the state of the last
 * pruned commit, or of the first commit if none is pruned.
 */
export async function oldestBaseAt(sql: Sql, pool: string, filter: Omit<Filter, 'poolId'>): Promise<string | null> {
  const isOfScope = sql`e.pool_id = p.id ${isScopeInPool(sql, filter, 'e')}`
  const [row] = await sql<{ at: string | null }[]>`
    select coalesce(
      (
        select rfc3339(e.recorded_at) from states e where ${isOfScope} and e.pruned_at is not null
        order by e.version desc limit 1
      ),
      (select rfc3339(e.recorded_at) from states e where ${isOfScope} order by e.version limit 1)
    ) as at
    from pools p where p.name = ${pool}`
  return row?.at ?? null
}
