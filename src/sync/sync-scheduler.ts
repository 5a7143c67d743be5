import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { isBlocked, isDatabaseUnavailable } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import type { Exports } from '../export/exports.ts'
import { repeatEvery } from '../process/repeat.ts'
import { isSink } from './kinds/kinds.ts'
import { nothingYet, PUSH_PACE, push } from './push.ts'
import { ClaimLost } from './sinks/claim.ts'
import { runSink } from './sinks/run-sink.ts'
import {
  type ClaimedRun,
  claimRun,
  finishRun,
  hasWork,
  type Outcome,
  queueDueRuns,
  type RunFailure,
  releaseRuns,
  renewLeases,
  type TargetNames,
} from './sync-runs.ts'
import { readTarget } from './targets.ts'

/**
 * Concurrent pushes of one process. A push mostly waits, for its target or between attempts, so the limit is high: with a low one,
 * a few dead targets would block all others.
 */
const MAX_RUNS = 100

/** How often the scheduler looks for runs, and how long a run stays with a process that does not renew its lease. */
export const SYNC_PACE = { pollMs: 1_000, leaseMs: 30_000, push: PUSH_PACE }

/** Whether the pool or the target was deleted during the push. The run was deleted with it. */
const isGone = (error: unknown) =>
  error instanceof Problem && (error.code === 'pool_not_found' || error.code === 'target_not_found')

/** Observes each run, and runs its push. */
export interface RunObserver {
  syncRunEnded(failure: RunFailure | null, seconds: number): void
  /** Runs a push, and returns or throws what the push does. */
  push(run: { id: string }, target: { name: string; url: string }, push: () => Promise<Outcome>): Promise<Outcome>
}

interface SyncParts {
  sql: Sql
  exports: Exports
  encryptionKey: Buffer
  /** Hosts besides loopback that sinks may be on. */
  targetHosts: string[]
  observer?: RunObserver
  /** Pushes to these targets only, on request only. Default: to all targets, also at their intervals. */
  only?: TargetNames
}

export interface SyncScheduler {
  /** Polls for runs now. */
  wake(): void
  /** Starts no further push, aborts those in progress so that another replica takes their runs, and resolves when they have ended. */
  stop(): Promise<void>
}

/** A push in progress. */
interface Work {
  run: ClaimedRun
  /** Aborts the push because its claim lost the run. */
  lost: AbortController
  ended: Promise<void>
}

/**
 * Pushes to the targets of all pools: on request, and when their interval is over. All state is in the database. Each replica
 * runs a scheduler. A run belongs to one claim at a time, and a claim that is not renewed in time loses it. (Two pushes of the
 * same run do no harm: a receiver applies an export only to its base.)
 */
export function startSyncScheduler(
  { sql, exports, encryptionKey, targetHosts, observer, only }: SyncParts,
  log: FastifyBaseLogger,
  { pollMs, leaseMs, push: pushPace } = SYNC_PACE,
): SyncScheduler {
  const stopping = new AbortController()
  /** By claim. Only claims in this map are renewed. */
  const inWork = new Map<string, Work>()
  /** Claims whose outcome was not recorded. The next poll that reaches the database ends their leases. */
  const dropped = new Set<string>()
  let wakeUp = new AbortController()

  async function look(): Promise<void> {
    while (!stopping.signal.aborted) {
      const asleep = wakeUp
      await takeRuns().catch((err) => log.warn({ err }, 'sync runs not read, will retry'))
      await sleep(pollMs, undefined, { signal: asleep.signal }).catch(() => {})
    }
  }

  async function takeRuns(): Promise<void> {
    await releaseDropped()
    if (!only && !(await hasWork(sql))) return
    if (!only) await queueDueRuns(sql)
    while (inWork.size < MAX_RUNS && !stopping.signal.aborted) {
      const run = await claimRun(sql, leaseMs, only)
      if (!run) return
      begin(run)
    }
  }

  async function releaseDropped(): Promise<void> {
    const claims = [...dropped]
    if (claims.length === 0) return
    await releaseRuns(sql, claims)
    for (const claim of claims) dropped.delete(claim)
  }

  function begin(run: ClaimedRun): void {
    // This process may already have the run, by a claim whose lease expired.
    const former = [...inWork.values()].filter((work) => work.run.id === run.id)
    for (const { lost } of former) lost.abort(new Error('the run was claimed again'))
    const lost = new AbortController()
    const ended = Promise.all(former.map(({ ended }) => ended))
      .then(() => work(run, AbortSignal.any([lost.signal, stopping.signal])))
      .then((isFinished) => {
        inWork.delete(run.claim)
        if (isFinished) wake()
        else if (!lost.signal.aborted) dropped.add(run.claim)
      })
    inWork.set(run.claim, { run, lost, ended })
  }

  /** Pushes, and records the outcome. Returns whether this process is done with the run. */
  async function work(run: ClaimedRun, signal: AbortSignal): Promise<boolean> {
    const started = performance.now()
    try {
      const outcome = await record(run, await outcomeOf(run, signal))
      if (!outcome) return true
      const { kind, failure, detail, sent_bytes, attempts } = outcome
      observer?.syncRunEnded(failure, (performance.now() - started) / 1000)
      const line = { target: run.target, run: run.id, kind, sent_bytes, attempts }
      if (failure === null) log.info(line, 'target in sync')
      else log.warn({ ...line, failure, detail }, failure === 'canary_failed' ? 'canary failed' : 'target not in sync')
      return true
    } catch (err) {
      if (isGone(err)) return true
      if (!signal.aborted) log.warn({ err, target: run.target, run: run.id }, 'sync run dropped, will be claimed again')
      return false
    }
  }

  async function outcomeOf(run: ClaimedRun, signal: AbortSignal): Promise<Outcome> {
    try {
      signal.throwIfAborted()
      const target = await readTarget(sql, encryptionKey, run.poolId, run.target)
      const parts = { sql, exports, encryptionKey, targetHosts }
      const work = () =>
        isSink(target.kind)
          ? runSink(parts, target, { run, signal, firstPauseMs: pushPace.firstPauseMs })
          : push(exports, target, { full: run.full, signal, pace: pushPace })
      return await (observer ? observer.push(run, target, work) : work())
    } catch (err) {
      if (signal.aborted || isDatabaseUnavailable(err) || isGone(err) || err instanceof ClaimLost) throw err
      return failed(run, err)
    }
  }

  /**
   * Returns the recorded outcome; undefined if the run is no longer this claim's. If the database rejects an outcome, it would reject it
   * again, so the run becomes `internal`.
   */
  async function record(run: ClaimedRun, outcome: Outcome): Promise<Outcome | undefined> {
    try {
      return (await finishRun(sql, run, outcome)) ? outcome : undefined
    } catch (err) {
      if (isDatabaseUnavailable(err) || isBlocked(err)) throw err
      const internal = failed(run, err)
      return (await finishRun(sql, run, internal)) ? internal : undefined
    }
  }

  function failed(run: ClaimedRun, err: unknown): Outcome {
    log.error({ err, target: run.target, run: run.id }, 'sync run failed')
    return { ...nothingYet(), failure: 'internal', detail: 'The log has the error under the id of the run.' }
  }

  async function renew(): Promise<void> {
    const claims = [...inWork.keys()]
    if (claims.length === 0) return
    const kept = await renewLeases(sql, claims, leaseMs).catch(() => undefined)
    if (!kept) return
    for (const claim of claims)
      if (!kept.has(claim)) inWork.get(claim)?.lost.abort(new Error('the run belongs to another claim'))
  }

  function wake(): void {
    wakeUp.abort()
    wakeUp = new AbortController()
  }

  const renewing = repeatEvery(renew, leaseMs / 3)
  const looking = look()
  return {
    wake,
    async stop() {
      stopping.abort(new Error('the service is stopping'))
      wake()
      await Promise.all([renewing.stop(), looking])
      await Promise.all([...inWork.values()].map(({ ended }) => ended))
      await releaseDropped().catch(() => {}) // without the database, the leases expire
    },
  }
}
