import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { forgetStep, pruneStep } from './prune.ts'

/** How often a process prunes. */
const INTERVAL_MS = 60_000

/** Maximum number of steps for one pool in a round. The next round continues. */
const STEPS_A_POOL = 1_000

/**
 * Keeps the history for deltas for `seconds`, in all pools. At the start and once a minute it deletes older history in
 * small steps. A pruned state is reported as expired for another `seconds`; then it is deleted.
 */
export function startRetention(sql: Sql, seconds: number, log: FastifyBaseLogger): Repeating {
  async function pruneAll(signal: AbortSignal): Promise<void> {
    const pools = await sql<{ id: number }[]>`select id from pools order by id`
    for (const { id } of pools) await prunePool(id, signal)
  }

  async function prunePool(poolId: number, signal: AbortSignal): Promise<void> {
    let commits = 0
    let tombstones = 0
    for (let step = 0; step < STEPS_A_POOL && !signal.aborted; step++) {
      const pruned = await pruneStep(sql, poolId, seconds)
      const forgotten = await forgetStep(sql, poolId, seconds)
      if (pruned.commits === 0 && forgotten === 0) break
      commits += pruned.commits
      tombstones += pruned.tombstones
    }
    if (commits > 0) log.info({ pool: poolId, commits, tombstones }, 'pruned expired states')
  }

  return repeatEvery(
    (signal) => pruneAll(signal).catch((err) => log.warn({ err }, 'pruning failed, retrying')),
    INTERVAL_MS,
  )
}
