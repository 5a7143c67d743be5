import type { Sql } from 'postgres'
import {
  type Announce,
  type Delivery,
  type Failed,
  type Kind,
  type Sink,
  UNSURE,
  type Outcome as UserOutcome,
} from '../kinds/kind.ts'
import type { Outcome } from '../sync-runs.ts'
import type { Target } from '../targets.ts'
import { type Announcement, announce, forgetUsers, settle, settleUnseen } from './announcements.ts'
import type { Work } from './claim.ts'
import { type DueRow, type DueUser, stillDue } from './due-users.ts'
import type { Pacer } from './pacer.ts'

/** What a page of due users is delivered with. */
export interface Page {
  sql: Sql
  kind: Kind
  sink: Sink
  target: Target
  work: Work
  signal: AbortSignal
  outcome: Outcome
  /** Runs a step again if its fault may pass. */
  attempts: (task: () => Promise<void>) => Promise<void>
  /** The number of users that a page has at most. */
  size: number
  pace: Pacer
  /** Learns of each user that was created or changed. */
  onSent: (sent: { userId: string; external: string }) => void
}

/** Creates and changes a page of due users. */
export async function deliverPage(page: Page, users: DueUser[]): Promise<void> {
  const { kind, sink, target, outcome } = page
  await inAttempts(page, users, async (due, announce) => {
    const refused: UserOutcome[] = []
    const rendered: Delivery[] = []
    for (const user of due) {
      const { id: userId, external } = user
      const row = kind.render(target.mapping ?? {}, user, true)
      if ('refusal' in row) refused.push({ userId, external, refusal: row.refusal })
      else rendered.push({ userId, external, rendered: row.rendered })
    }
    const sent = rendered.length === 0 ? [] : await sink.send(rendered, announce)
    // A user without an outcome would have no record, and never be sent again.
    if (sent.length !== rendered.length) throw new Error('the kind returned no outcome for some users')
    const present = new Set(due.filter(({ external }) => external !== null && external !== UNSURE).map(({ id }) => id))
    const count = (userId: string) => {
      outcome.sent_count++
      if (present.has(userId)) outcome.updated_count++
      else outcome.added_count++
    }
    return { outcomes: [...refused, ...sent], count }
  })
}

/** Removes a page of due users. */
export async function removePage(page: Page, rows: DueRow[]): Promise<void> {
  const { sql, sink, work, outcome } = page
  await inAttempts(page, rows, async (due, announce) => {
    const absent = due.filter(({ external }) => external === null).map(({ id }) => id)
    if (absent.length > 0) await forgetUsers(sql, work, absent)
    const present = due.flatMap(({ id: userId, external }) => (external === null ? [] : [{ userId, external }]))
    const outcomes = present.length === 0 ? [] : await sink.remove(present, announce)
    return { outcomes, count: () => outcome.deleted_count++ }
  })
}

/** What an attempt did, and how each user that the target did not refuse is counted. */
interface Attempt {
  outcomes: (UserOutcome | Failed)[]
  count: (userId: string) => void
}

const isFailed = (outcome: UserOutcome | Failed): outcome is Failed => 'fault' in outcome

const isDone = (outcome: UserOutcome | Failed) => !isFailed(outcome) && outcome.refusal === undefined

/**
 * Delivers a page, as one transaction of a target that has them. An attempt whose end is not known, since the connection broke at its
 * commit, is settled before the next one. So is one that a fault of the target has cut short. The next one sends what is still due.
 */
async function inAttempts<Row extends DueRow>(
  { sql, sink, target, work, signal, attempts, pace, onSent }: Page,
  rows: Row[],
  attempt: (due: Row[], announce: Announce) => Promise<Attempt>,
): Promise<void> {
  let open: Announcement | undefined
  let due = rows
  await attempts(async () => {
    if (open) {
      await settleUnseen(sql, target, open.marker, await sink.outcomeOf(open.marker))
      open = undefined
      due = await stillDue(sql, target, rows)
      if (due.length === 0) return
    }
    await pace(due.length, signal)
    const { outcomes, count } = await attempt(due, async (marker, outcomes) => {
      const known = new Set(due.filter(({ is_known }) => is_known).map(({ id }) => id))
      const done = outcomes.filter(isDone)
      const changed = done.filter(({ userId }) => known.has(userId))
      const added = done.filter(({ userId }) => !known.has(userId))
      open = { marker, added, changed }
      await announce(sql, work, open)
    })
    const failed = outcomes.filter(isFailed)
    const settled = outcomes.filter((outcome): outcome is UserOutcome => !isFailed(outcome))
    await settle(sql, work, { announcement: open, outcomes: settled, failed })
    open = undefined
    for (const { userId, external } of outcomes.filter(isDone)) {
      if (external !== null) onSent({ userId, external })
      count(userId)
    }
    const [first] = failed
    if (!first) return
    due = await stillDue(sql, target, rows)
    throw first.fault
  })
}
