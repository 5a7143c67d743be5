import type { Sql } from 'postgres'
import { readUserLines } from '../../export/user-lines.ts'
import {
  type Announce,
  type Delivery,
  type Kind,
  type Sink,
  type SinkUser,
  UNSURE,
  type Outcome as UserOutcome,
} from '../kinds/kind.ts'
import { secretsOf } from '../kinds/values.ts'
import type { ClaimedRun, Outcome } from '../sync-runs.ts'
import type { Target } from '../targets.ts'
import type { Pacer } from './pacer.ts'
import {
  announceOutcomes,
  type DueUser,
  forgetUsers,
  recordRefusals,
  settleCommitted,
  settleUnseen,
  stillDue,
} from './sink-users.ts'

/** What a page of due users is delivered with. */
export interface Page {
  sql: Sql
  encryptionKey: Buffer
  kind: Kind
  sink: Sink
  target: Target
  run: ClaimedRun
  signal: AbortSignal
  outcome: Outcome
  /** Runs a step again if its fault may pass. */
  attempts: (task: () => Promise<void>) => Promise<void>
  pace: Pacer
}

/**
 * Delivers a page of due users, as one transaction of a target that has them. An attempt whose end is not known, since the connection
 * broke at its commit, is settled before the next one, which sends what is still due.
 */
export async function deliverPage(page: Page, rows: DueUser[], removals: boolean): Promise<void> {
  const { sql, sink, target, run, signal } = page
  let open: string | undefined
  let due = rows
  await page.attempts(async () => {
    if (open !== undefined) {
      await settleUnseen(sql, target, open, await sink.outcomeOf(open))
      open = undefined
      due = await stillDue(
        sql,
        target,
        rows.map(({ user_id }) => user_id),
      )
      if (due.length === 0) return
    }
    await page.pace(due.length, signal)
    const announce: Announce = async (marker, outcomes) => {
      open = marker
      await announceOutcomes(
        sql,
        { run, updatedAt: target.updatedAt },
        marker,
        outcomes.filter(({ refusal }) => refusal === undefined),
      )
    }
    const outcomes = removals ? await remove(page, due, announce) : await send(page, due, announce)
    const done = outcomes.filter(({ refusal }) => refusal === undefined)
    if (open !== undefined) await settleCommitted(sql, target, open, done)
    const refused = outcomes.filter(({ refusal }) => refusal !== undefined)
    if (refused.length > 0) await recordRefusals(sql, target, refused)
    open = undefined
    count(page.outcome, due, outcomes, removals)
  })
}

async function remove({ sql, sink, target }: Page, due: DueUser[], announce: Announce): Promise<UserOutcome[]> {
  const absent = due.filter(({ external }) => external === null).map(({ user_id }) => user_id)
  if (absent.length > 0) await forgetUsers(sql, target, absent)
  const held = due.flatMap(({ user_id: userId, external }) => (external === null ? [] : [{ userId, external }]))
  return held.length === 0 ? [] : await sink.remove(held, announce)
}

async function send(page: Page, due: DueUser[], announce: Announce): Promise<UserOutcome[]> {
  const { sql, encryptionKey, kind, sink, target } = page
  const external = new Map(due.map((row) => [row.user_id, row.external]))
  const filter = { poolId: target.poolId, ...target.filter }
  const lines = await readUserLines(sql, { filter, credentials: secretsOf(target.mapping), encryptionKey }, [
    ...external.keys(),
  ])
  const refused: UserOutcome[] = []
  const users: Delivery[] = []
  for (const line of lines) {
    const user = JSON.parse(line) as SinkUser
    const former = external.get(user.id) ?? null
    const rendered = kind.render(target.mapping ?? {}, user, true)
    if ('refusal' in rendered) refused.push({ userId: user.id, external: former, refusal: rendered.refusal })
    else users.push({ userId: user.id, external: former, rendered: rendered.rendered })
  }
  const sent = users.length === 0 ? [] : await sink.send(users, announce)
  return [...refused, ...sent]
}

function count(outcome: Outcome, due: DueUser[], outcomes: UserOutcome[], removals: boolean): void {
  const held = new Set(
    due.flatMap(({ user_id, external }) => (external === null || external === UNSURE ? [] : [user_id])),
  )
  for (const { userId, refusal } of outcomes) {
    if (refusal !== undefined) continue
    if (removals) outcome.deleted_count++
    else if (held.has(userId)) outcome.updated_count++
    else outcome.added_count++
  }
}
