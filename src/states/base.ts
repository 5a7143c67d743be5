import type { Sql } from 'postgres'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import { type Filter, isScope } from './filter.ts'
import type { ScopeState } from './scope-state.ts'

/** A base that a delta can lead on from, and the version at which the scope last had that state. */
export interface Base {
  state: State
  version: string
}

/** A base, and how long ago the scope last came to that state; null: it is the empty one, from before the first commit. */
export interface AgedBase extends Base {
  ageSeconds: number | null
}

/**
 * Of the states that a client holds the one that is nearest to the present. `expired`: the scope had one of them, but
 * tombstones of what came after it are pruned, so that a delta could miss deletions. `unknown`: it never had any of them, or
 * that is forgotten too. What is pruned is the beginning of the history, so the next state tells. A state may recur and
 * means the same each time; from its latest version the way is the shortest. Version 0 is before the first commit.
 */
export async function findBase(
  sql: Sql,
  filter: Filter,
  present: ScopeState,
  held: readonly State[],
): Promise<AgedBase | 'expired' | 'unknown'> {
  const [row] = await sql<(Base & { age_seconds: number | null; usable: boolean })[]>`
    select b.state, b.version, extract(epoch from clock_timestamp() - b.recorded_at)::float8 as age_seconds,
      b.version = ${present.version} or (
        select e.pruned_at is null from states e where ${isScope(sql, filter, 'e')} and e.version > b.version
        order by e.version limit 1
      ) as usable
    from (
      select e.state, e.version, e.recorded_at from states e where ${isScope(sql, filter, 'e')} and e.state = any(${held}::text[])
      union all
      select ${EMPTY_STATE}, 0, null where ${held.includes(EMPTY_STATE)}
    ) b
    order by b.version desc limit 1`
  if (!row) return 'unknown'
  return row.usable ? { state: row.state, version: row.version, ageSeconds: row.age_seconds } : 'expired'
}
