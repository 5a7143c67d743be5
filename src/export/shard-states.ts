import type { Sql } from 'postgres'
import { type Shard, shardOf } from '../protocol/shard.ts'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import type { ScopeOfPool } from '../standbys/open-caught-up.ts'
import { type Filter, selects, userLine } from '../states/filter.ts'
import { lookUpScope, type PoolScopeState } from '../states/scope-state.ts'
import { type ExportSource, openReading } from './open-export.ts'
import { createSingleFlight } from './single-flight.ts'

/** The state of a part of a filter's users. */
export type ShardState = Omit<PoolScopeState, 'version'>

/** The parts of a filter when it was in `whole`. */
interface Parts {
  whole: PoolScopeState
  parts: { state: State; userCount: number }[]
}

/** Maximum number of parts that are kept, about 200 bytes each. */
const MAX_PARTS = 50_000

/**
 * Returns the current state of a part. No part is recorded, so all parts of a filter are computed in one read of its users, once for each
 * state, in one of the places of the exports. Concurrent requests share the read.
 */
export function createShardStates(
  source: ExportSource,
  currentScope: (scope: ScopeOfPool) => Promise<PoolScopeState>,
): (scope: ScopeOfPool, shard: Shard) => Promise<ShardState> {
  const share = createSingleFlight<Parts>(1)
  const kept = new Map<string, Parts>()

  function keep(key: string, parts: Parts): void {
    kept.delete(key)
    kept.set(key, parts)
    let total = [...kept.values()].reduce((sum, each) => sum + each.parts.length, 0)
    for (const [oldest, { parts }] of kept) {
      if (total <= MAX_PARTS) break
      kept.delete(oldest)
      total -= parts.length
    }
  }

  async function findKept(key: string, scope: ScopeOfPool): Promise<Parts | undefined> {
    const { poolId, state } = await currentScope(scope)
    const known = kept.get(key)
    return known?.whole.state === state && known.whole.poolId === poolId ? known : undefined
  }

  /** Looks again first: the read before this one may have been of the same state. */
  async function readAndKeep(key: string, scope: ScopeOfPool, count: number): Promise<Parts> {
    const known = (await findKept(key, scope)) ?? (await readParts(source, scope, count))
    keep(key, known)
    return known
  }

  return async (scope, { index, count }) => {
    const key = JSON.stringify([scope.pool, scope.filter, count])
    const known = (await findKept(key, scope)) ?? (await share(key, () => readAndKeep(key, scope, count)))
    const { poolId, poolCreatedAt } = known.whole
    return { poolId, poolCreatedAt, ...(known.parts[index] ?? { state: EMPTY_STATE, userCount: 0 }) }
  }
}

const readParts = (source: ExportSource, scope: ScopeOfPool, count: number): Promise<Parts> =>
  openReading(source, scope, async ({ sql, release }) => {
    const whole = await lookUpScope(sql, scope.pool, scope.filter)
    const rows = await selectParts(sql, { poolId: whole.poolId, ...scope.filter }, count)
    await release()
    const parts = Array.from({ length: count }, () => ({ state: EMPTY_STATE, userCount: 0 }))
    for (const { index, state, user_count: userCount } of rows) parts[index] = { state, userCount }
    return { whole, parts }
  })

/** Computes the state of each part that has users. Reads all users of the filter: about 4 s of PostgreSQL time for a million. */
const selectParts = (sql: Sql, filter: Filter, count: number) => sql<
  { index: number; user_count: number; state: State }[]
>`
  select d.index::int, count(*)::float8 as user_count,
    state_name(
      wrap_word(sum(substring(d.digest from 1 for 64)::bigint)), wrap_word(sum(substring(d.digest from 65 for 64)::bigint)),
      wrap_word(sum(substring(d.digest from 129 for 64)::bigint)), wrap_word(sum(substring(d.digest from 193 for 64)::bigint))
    ) as state
  from (
    select ${shardOf(sql, count, sql`u.id`)} as index, line_digest(${userLine(sql, 'u')}) as digest
    from users u where ${selects(sql, filter, 'u')} offset 0
  ) d
  group by d.index`
