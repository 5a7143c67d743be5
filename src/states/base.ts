import type { Sql } from 'postgres'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import { type Filter, isScope } from './filter.ts'
import type { ScopeState } from './scope-state.ts'

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
