import type { Sql } from 'postgres'
import { type Shard, shardOf } from '../protocol/shard.ts'
import { EMPTY_STATE, type State } from '../protocol/state.ts'
import type { ScopeOfPool } from '../standbys/open-caught-up.ts'
import { type Filter, selects, userLine } from '../states/filter.ts'
import { lookUpScope, type PoolScopeState } from '../states/scope-state.ts'
import { type ExportSource, openReading } from './open-export.ts'
import { createSingleFlight } from './single-flight.ts'

/** The state of a shard of a filter's users. */
export type ShardState = Pick<PoolScopeState, 'poolCreatedAt' | 'state' | 'userCount'>

/** All shards of a filter when it was in the state `whole`. */
interface Shards {
  whole: PoolScopeState
  shards: { state: State; userCount: number }[]
}

/** Maximum number of shards that are kept, about 200 bytes each. */
const MAX_SHARDS = 50_000

/**
 * Returns the current state of a shard. None is recorded, so all shards of a filter are computed in one read of its users, once for
 * each state, in one of the places of the exports. Concurrent requests share the read.
 */
export function createShardStates(
  source: ExportSource,
  currentScope: (scope: ScopeOfPool) => Promise<PoolScopeState>,
): (scope: ScopeOfPool, shard: Shard) => Promise<ShardState> {
  const share = createSingleFlight<Shards>(1)
  const kept = new Map<string, Shards>()

  function keep(key: string, shards: Shards): void {
    kept.delete(key)
    kept.set(key, shards)
    let total = [...kept.values()].reduce((sum, each) => sum + each.shards.length, 0)
    for (const [oldest, { shards }] of kept) {
      if (total <= MAX_SHARDS) break
      kept.delete(oldest)
      total -= shards.length
    }
  }

  async function findKept(key: string, scope: ScopeOfPool): Promise<Shards | undefined> {
    const { poolId, state } = await currentScope(scope)
    const known = kept.get(key)
    return known?.whole.state === state && known.whole.poolId === poolId ? known : undefined
  }

  /** Looks again first: the read before this one may have been of the same state. */
  async function readAndKeep(key: string, scope: ScopeOfPool, count: number): Promise<Shards> {
    const known = (await findKept(key, scope)) ?? (await readShards(source, scope, count))
    keep(key, known)
    return known
  }

  return async (scope, { index, count }) => {
    const key = JSON.stringify([scope.pool, scope.filter, count])
    const known = (await findKept(key, scope)) ?? (await share(key, () => readAndKeep(key, scope, count)))
    const { poolCreatedAt } = known.whole
    return { poolCreatedAt, ...(known.shards[index] ?? { state: EMPTY_STATE, userCount: 0 }) }
  }
}

const readShards = (source: ExportSource, scope: ScopeOfPool, count: number): Promise<Shards> =>
  openReading(source, scope, async ({ sql, release }) => {
    const whole = await lookUpScope(sql, scope.pool, scope.filter)
    const rows = await selectStates(sql, { poolId: whole.poolId, ...scope.filter }, count)
    await release()
    const shards = Array.from({ length: count }, () => ({ state: EMPTY_STATE, userCount: 0 }))
    for (const { index, state, user_count: userCount } of rows) shards[index] = { state, userCount }
    return { whole, shards }
  })

/** Computes the state of each shard that has users. Reads all users of the filter: about 4 s of PostgreSQL time for a million. */
const selectStates = (sql: Sql, filter: Filter, count: number) => sql<
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
