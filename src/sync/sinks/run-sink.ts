import type { Sql } from 'postgres'
import { PeerError } from '../../client/peer.ts'
import { retry } from '../../client/retry.ts'
import { FIRST_ID } from '../../database/id-bounds.ts'
import { Problem } from '../../errors.ts'
import type { Exports } from '../../export/exports.ts'
import { createSample, runCanary } from '../canary/run-canary.ts'
import type { Sink } from '../kinds/kind.ts'
import { isSink, kindOf } from '../kinds/kinds.ts'
import { nothingYet } from '../push.ts'
import type { ClaimedRun, Outcome } from '../sync-runs.ts'
import { isReachable } from '../target-settings.ts'
import type { Target } from '../targets.ts'
import { openMarkers, settleUnseen } from './announcements.ts'
import { inClaim, type Work } from './claim.ts'
import { deliverPage, type Page, removePage } from './deliver-page.ts'
import { readDueUsers, readLastKnown, readRemovals, readRest } from './due-users.ts'
import { countFailures } from './failures.ts'
import { createPacer } from './pacer.ts'
import { planRun } from './plan-run.ts'
import { membersFor, type UserMembers } from './user-members.ts'

/** How often each step is tried, if its fault may pass. */
const ATTEMPTS = 4

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
  const work = { run, updatedAt: target.updatedAt }
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
    Object.assign(outcome, await plan(parts, target, work, run))
    const { isDue, isFilling } = await readRest(parts.sql, target)
    if (isDue) {
      if (outcome.kind === 'unchanged') outcome.kind = 'delta' // what an earlier run did not deliver
      if (!isSink(target.kind)) throw new Error(`no kind ${target.kind}`)
      const kind = kindOf(target.kind)
      const { concurrency, per_second: perSecond } = target.limits
      const sink = kind.connect({ ...target, mapping: target.mapping ?? {}, connections: concurrency, signal })
      const sample = createSample(target.canary)
      const page: Page = {
        ...{ sql: parts.sql, kind, sink, target, work, signal, outcome, attempts },
        // A batch is sent at once, so it has no more users than a second allows.
        size: Math.min(target.limits.batch, perSecond ?? Number.POSITIVE_INFINITY),
        pace: createPacer(perSecond),
        onSent: sample.add,
      }
      try {
        await attempts(() => begin(page))
        const members = membersFor(kind, target.mapping, parts.encryptionKey)
        await deliver(page, { members, isFilling, clear: run.clear })
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
async function plan({ sql, exports }: SinkParts, target: Target, work: Work, { full, clear }: ClaimedRun) {
  try {
    return await planRun({ sql, exports, target, full, clear, work }, async ({ plan }) => plan)
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

/** Removes the due users that the target is not to have, then creates and changes the others. */
async function deliver(
  page: Page,
  { members, isFilling, clear }: { members: UserMembers; isFilling: boolean; clear: boolean },
): Promise<void> {
  const { sql, target, work, size: limit } = page
  const { filter } = target
  await inBatches(
    page,
    (after) => readRemovals(sql, target, { filter, clear, after, limit }),
    (rows) => removePage(page, rows),
  )
  if (clear) return
  const filling = isFilling ? { lastKnown: await readLastKnown(sql, target) } : undefined
  await inBatches(
    page,
    (after) => readDueUsers(sql, target, { filter, members, filling, after, limit }),
    (users) => deliverPage(page, users),
  )
  if (isFilling) {
    await inClaim(sql, work, async (tx) => {
      await tx`update targets set is_filling = false where pool_id = ${target.poolId} and name = ${target.name}`
    })
  }
}

/** Works through due users once, in the order of ids, several batches at a time. Reads one batch ahead. */
async function inBatches<Row extends { id: string }>(
  { target: { limits }, size, signal }: Page,
  read: (after: string) => Promise<Row[]>,
  send: (rows: Row[]) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  let ahead = read(FIRST_ID)
  const next = () => {
    const rows = ahead
    ahead = rows.then((rows) => (rows.length < size ? [] : read(rows.at(-1)?.id ?? FIRST_ID)))
    ahead.catch(() => {}) // thrown by the call that waits for it
    return rows
  }
  const workers = Array.from({ length: limits.concurrency }, async () => {
    try {
      for (let rows = await next(); rows.length > 0; rows = await next()) {
        signal.throwIfAborted()
        failed.signal.throwIfAborted()
        await send(rows)
      }
    } catch (error) {
      failed.abort(error) // the other workers stop after their batch, with the first error
      throw error
    }
  })
  await Promise.allSettled(workers)
  await ahead.catch(() => {})
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
