import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { type Repeating, startRepeating } from '../process/repeat.ts'
import { forgetStep, pruneStep } from './prune.ts'

/** How often a process looks for what is too old. */
const INTERVAL_MS = 60_000

/** Steps for a pool before the next one has its turn; what is left then, the next round takes. */
const STEPS_A_POOL = 1_000

/**
 * Keeps what deltas are made of for `seconds`, in all pools: once a minute, and once at the start, it deletes what is older
 * in small steps. For as long again a pruned state is known as expired; after that it is forgotten.
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
    if (commits > 0) log.info({ pool: poolId, commits, tombstones }, 'bases have expired')
  }

  return startRepeating(
    (signal) => pruneAll(signal).catch((err) => log.warn({ err }, 'old states could not be pruned; it is tried again')),
    INTERVAL_MS,
  )
}
