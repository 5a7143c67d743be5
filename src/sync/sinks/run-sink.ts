import type { Sql } from 'postgres'
import { PeerError } from '../../client/peer.ts'
import { retry } from '../../client/retry.ts'
import { Problem } from '../../errors.ts'
import type { Exports } from '../../export/exports.ts'
import { createSample, runCanary } from '../canary/run-canary.ts'
import type { Sink } from '../kinds/kind.ts'
import { isSink, kindOf } from '../kinds/kinds.ts'
import { nothingYet } from '../push.ts'
import type { ClaimedRun, Outcome } from '../sync-runs.ts'
import { isReachable } from '../target-settings.ts'
import type { Target } from '../targets.ts'
import { deliverPage, type Page } from './deliver-page.ts'
import { createPacer } from './pacer.ts'
import { planRun } from './plan-run.ts'
import { countFailures, dueUsers, hasDueUsers, openMarkers, settleUnseen } from './sink-users.ts'

/** How often each step is tried, if its fault may pass. */
const ATTEMPTS = 4

/** Sorts before every id. */
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

export interface SinkParts {
  sql: Sql
  exports: Exports
  encryptionKey: Buffer
  /** Hosts besides loopback that sinks may be on. */
  targetHosts: string[]
}

/**
 * Brings a sink in step with the present state of its filter, or clears it: plans what may differ, removes users, then creates and
 * changes users, in batches. Never throws for what a target does: the outcome has it. Throws ClaimLost, the reason of `signal`, and
 * internal errors.
 */
export async function runSink(
  parts: SinkParts,
  target: Target,
  { run, signal, firstPauseMs }: { run: ClaimedRun; signal: AbortSignal; firstPauseMs: number },
): Promise<Outcome> {
  const outcome = nothingYet()
  const attempts = (task: () => Promise<void>) =>
    retry(
      async (attempt) => {
        outcome.attempts = Math.max(outcome.attempts, attempt)
        await task()
      },
      { maxAttempts: ATTEMPTS, signal, firstPauseMs },
    )
  try {
    requireHost(target, parts.targetHosts)
    const planned = await plan(parts, target, run)
    Object.assign(outcome, planned)
    if (await hasDueUsers(parts.sql, target)) {
      if (outcome.kind === 'unchanged') outcome.kind = 'delta' // what an earlier run did not deliver
      if (!isSink(target.kind)) throw new Error(`no kind ${target.kind}`)
      const kind = kindOf(target.kind)
      const { batch, concurrency, per_second: perSecond } = target.limits
      const sample = createSample(target.canary)
      const sink = kind.connect({ ...target, mapping: target.mapping ?? {}, connections: concurrency, signal })
      try {
        const page: Page = {
          ...parts,
          kind,
          sink,
          target,
          run,
          signal,
          outcome,
          attempts,
          pace: createPacer(perSecond),
          onSent: sample.add,
        }
        await attempts(() => begin(page))
        for (const removals of [true, false]) await inBatches(page, { removals, batch, concurrency })
        const { canary } = target
        if (canary && sample.users.length > 0)
          outcome.canary = await runCanary({ ...parts, sink, target, canary, signal }, sample.users)
      } finally {
        await sink.close()
      }
    }
    return await withFailures(parts.sql, target, outcome)
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PeerError)) throw error
    return { ...outcome, failure: error.fault, detail: error.message }
  }
}

function requireHost(target: Target, targetHosts: string[]): void {
  if (isReachable(target, targetHosts)) return
  const detail = 'The host of the url is neither loopback nor listed in TARGET_HOSTS.'
  throw new PeerError('refused', detail)
}

/** Plans the run. If all places for exports are taken, a later run may find one. */
async function plan({ sql, exports }: SinkParts, target: Target, run: ClaimedRun) {
  try {
    const { full, clear } = run
    return await planRun({ sql, exports, target, full, clear, run }, async (plan) => plan)
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'overloaded') throw error
    throw new PeerError('busy', 'This service runs the maximum number of exports.')
  }
}

/** Checks the target, and finds out how the transactions of earlier runs ended. */
async function begin({ sql, sink, target }: { sql: Sql; sink: Sink; target: Target }): Promise<void> {
  await sink.probe()
  for (const marker of await openMarkers(sql, target))
    await settleUnseen(sql, target, marker, await sink.outcomeOf(marker))
}

/** Works through the due users once, in the order of ids, several batches at a time. */
async function inBatches(
  page: Page,
  { removals, batch, concurrency }: { removals: boolean; batch: number; concurrency: number },
): Promise<void> {
  const { sql, target, run, signal } = page
  const failed = new AbortController()
  let after = FIRST_ID
  let last = Promise.resolve()
  const next = () => {
    const rows = last.then(() =>
      dueUsers(sql, target, { filter: target.filter, clear: run.clear, removals, after, limit: batch }),
    )
    last = rows.then(
      (rows) => {
        after = rows.at(-1)?.user_id ?? after
      },
      () => {},
    )
    return rows
  }
  const workers = Array.from({ length: concurrency }, async () => {
    try {
      for (let rows = await next(); rows.length > 0; rows = await next()) {
        signal.throwIfAborted()
        failed.signal.throwIfAborted()
        await deliverPage(page, rows, removals)
      }
    } catch (error) {
      failed.abort(error) // the other workers stop after their batch, with the first error
      throw error
    }
  })
  await Promise.allSettled(workers)
  failed.signal.throwIfAborted()
}

/** The outcome of a run whose batches are all sent: a failure if the target refused users, or some could not log in. */
async function withFailures(sql: Sql, target: Target, outcome: Outcome): Promise<Outcome> {
  const count = await countFailures(sql, target)
  if (count === 0) {
    if (outcome.canary === null || outcome.canary.ok) return outcome
    const detail = 'The users were sent, but not all that were tried could log in: see the canary of the run.'
    return { ...outcome, failure: 'canary_failed', detail }
  }
  const users = count === 1 ? '1 user' : `${count} users`
  const detail = `The target refused ${users}: GET /v1/targets/${target.name}/failures has the reasons. The next run tries again.`
  return { ...outcome, failure: 'users_refused', detail }
}
