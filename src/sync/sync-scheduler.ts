import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { isDatabaseUnavailable } from '../database/connection.ts'
import { Problem } from '../errors.ts'
import type { Exports } from '../export/exports.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { readTarget } from '../targets/targets.ts'
import type { Tracing } from '../tracing/tracing.ts'
import { nothingYet, push } from './push.ts'
import {
  type ClaimedRun,
  claimRun,
  finishRun,
  LEASE_SECONDS,
  type Outcome,
  queueDueRuns,
  releaseRun,
  renewLeases,
} from './sync-runs.ts'

const POLL_MS = 1_000

/**
 * Runs of one process at once. A run mostly waits, for its target or between attempts, so that there are many places: with few
 * of them some dead targets would hold up all others.
 */
const MOST_RUNS = 100

/** Whether the pool or the target was removed while the run was in work; the run went with it. */
const isGone = (error: unknown) =>
  error instanceof Problem && (error.code === 'pool_not_found' || error.code === 'target_not_found')

interface SyncParts {
  sql: Sql
  exports: Exports
  encryptionKey: Buffer
  metrics: Metrics
  tracing: Tracing | undefined
}

export interface SyncScheduler {
  /** Looks for runs now, not at the next poll. */
  wake(): void
  /** Begins no further run, calls those in work off so that another replica takes them up, and resolves when they ended. */
  stop(): Promise<void>
}

/**
 * Pushes to the targets of all pools: by request, and when their interval is over. It holds nothing that the database does
 * not: N replicas each run one, a run is in the hands of one of them, and where that dies another takes it over when its
 * lease ends. (Two who believe to have the same run do no harm: a receiver takes an export only onto its base.)
 */
export function startSyncScheduler(
  { sql, exports, encryptionKey, metrics, tracing }: SyncParts,
  log: FastifyBaseLogger,
): SyncScheduler {
  const holder = randomUUID()
  const stopping = new AbortController()
  const inWork = new Map<string, { lost: AbortController; ended: Promise<void> }>()
  let wakeUp = new AbortController()

  async function look(): Promise<void> {
    while (!stopping.signal.aborted) {
      const asleep = wakeUp
      await takeRuns().catch((err) => log.warn({ err }, 'runs of targets could not be read; it is tried again'))
      await sleep(POLL_MS, undefined, { signal: asleep.signal }).catch(() => {})
    }
  }

  async function takeRuns(): Promise<void> {
    await queueDueRuns(sql)
    while (inWork.size < MOST_RUNS && !stopping.signal.aborted) {
      const run = await claimRun(sql, holder)
      if (!run) return
      const lost = new AbortController()
      const ended = work(run, lost.signal).finally(() => {
        inWork.delete(run.id)
        wake()
      })
      inWork.set(run.id, { lost, ended })
    }
  }

  async function work(run: ClaimedRun, lost: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([lost, stopping.signal])
    const begun = performance.now()
    try {
      const outcome = await outcomeOf(run, signal)
      const { kind, failure, detail, sent_bytes, attempts } = outcome
      metrics.syncRunEnded(failure, (performance.now() - begun) / 1000)
      const line = { target: run.target, run: run.id, kind, sent_bytes, attempts }
      if (failure === null) log.info(line, 'target is in step')
      else log.warn({ ...line, failure, detail }, 'target could not be brought in step')
      await finishRun(sql, holder, run, outcome)
    } catch (err) {
      // Without an outcome the run goes on elsewhere: at once where we stop, else when its lease is over.
      if (stopping.signal.aborted) await releaseRun(sql, holder, run).catch(() => {})
      else if (!lost.aborted) log.warn({ err, target: run.target, run: run.id }, 'a run could not be ended here')
    }
  }

  async function outcomeOf(run: ClaimedRun, signal: AbortSignal): Promise<Outcome> {
    try {
      const target = await readTarget(sql, encryptionKey, run.poolId, run.target)
      const work = () => push(exports, target, { full: run.full, signal })
      return await (tracing ? tracing.push(run, target, work) : work())
    } catch (err) {
      if (signal.aborted || isDatabaseUnavailable(err) || isGone(err)) throw err
      log.error({ err, target: run.target, run: run.id }, 'a push met a fault of our own')
      return { ...nothingYet(), failure: 'internal', detail: 'The fault is in the log under the id of the run.' }
    }
  }

  const renewal = setInterval(
    async () => {
      const kept = await renewLeases(sql, holder).catch(() => undefined)
      if (!kept) return
      for (const [id, { lost }] of inWork) if (!kept.has(id)) lost.abort(new Error('another process has the run'))
    },
    (LEASE_SECONDS * 1000) / 3,
  )

  function wake(): void {
    wakeUp.abort()
    wakeUp = new AbortController()
  }

  const looking = look()
  return {
    wake,
    async stop() {
      stopping.abort(new Error('the service is stopping'))
      clearInterval(renewal)
      wake()
      await looking
      await Promise.all([...inWork.values()].map(({ ended }) => ended))
    },
  }
}
