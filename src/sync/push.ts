import { Problem } from '../errors.ts'
import type { ExportRequest } from '../export/export-request.ts'
import type { Export, Exports } from '../export/exports.ts'
import type { State } from '../export/state.ts'
import type { Target } from '../targets/targets.ts'
import { withAttempts } from './attempts.ts'
import { exportForTarget } from './export-for-target.ts'
import { heldState, otherState, replicaPath, requireState } from './held-state.ts'
import { PeerError } from './peer.ts'
import { sendExport } from './send-export.ts'
import type { Outcome, RunFailure } from './sync-runs.ts'

const ATTEMPTS = 4

/** How often an attempt sends again because the receiver turns out to hold another state than it said. */
const SENDS = 3

/** How long a push may take, and wait between its attempts. */
export const PUSH_PACE = { deadlineMs: 900_000, firstPauseMs: 500 }

interface Push {
  exports: Exports
  target: Target
  signal: AbortSignal
  /** What came of it so far, also of attempts that fail. */
  outcome: Outcome
}

/**
 * Brings a target in step with the present state of its filter: asks for the state that it holds, and sends what leads on from
 * there, or the full export if that state is unknown, does not add up, or `full` is set. Never throws for what a target does:
 * the outcome says it. Throws the reason of `signal`, and our own faults.
 */
export async function push(
  exports: Exports,
  target: Target,
  { full, signal, pace = PUSH_PACE }: { full: boolean; signal: AbortSignal; pace?: typeof PUSH_PACE },
): Promise<Outcome> {
  const deadline = AbortSignal.timeout(pace.deadlineMs)
  const outcome = nothingYet()
  const task = { exports, target, signal: AbortSignal.any([signal, deadline]), outcome }
  try {
    await withAttempts(
      async (attempt) => {
        outcome.attempts = attempt
        await bringInStep(task, full)
      },
      { most: ATTEMPTS, signal: task.signal, firstPauseMs: pace.firstPauseMs },
    )
    return outcome
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.aborted) {
      const detail = `It was not in step after ${pace.deadlineMs / 60_000} minutes.`
      return { ...outcome, failure: 'deadline', detail }
    }
    const [failure, detail] = failureOf(error)
    return { ...outcome, failure, detail }
  }
}

/** The outcome of a run that has not begun. */
export const nothingYet = (): Outcome => ({
  kind: null,
  base: null,
  state: null,
  added_count: 0,
  updated_count: 0,
  deleted_count: 0,
  sent_bytes: 0,
  attempts: 0,
  failure: null,
  detail: null,
})

async function bringInStep({ exports, target, signal, outcome }: Push, full: boolean): Promise<void> {
  const { pool, filter } = target
  const present = await exports.currentScope({ pool, filter })
  let held = full ? undefined : await heldState(receiverOf(target), present, signal)
  if (held === present.state) {
    Object.assign(outcome, { kind: 'unchanged', base: held, state: held })
    return
  }
  for (let sends = 1; ; sends++) {
    try {
      await send({ exports, target, signal, outcome }, held)
      return
    } catch (error) {
      const other = otherState(error)
      const isDelta = outcome.kind !== 'full'
      if (sends === SENDS || (other === undefined && !(isDelta && addsUpWrongly(error)))) throw error
      held = other
    }
  }
}

/** Sends what leads on from `held`, or the full export, and notes what became of it. */
async function send({ exports, target, signal, outcome }: Push, held: State | undefined): Promise<void> {
  const exported = await open(exports, exportForTarget(target, held))
  const { plan, state } = exported
  Object.assign(outcome, { kind: plan.kind, base: plan.base?.state ?? null, state })
  const onBytes = (bytes: number) => {
    outcome.sent_bytes += bytes
  }
  const path = replicaPath(target.remotePool)
  const answer = await sendExport(receiverOf(target), exported, { path, signal, onBytes })
  const { counts } = await requireState(answer, state)
  for (const kind of ['added', 'updated', 'deleted'] as const) {
    const count: unknown = (counts as Record<string, unknown> | undefined)?.[kind]
    if (Number.isSafeInteger(count) && Number(count) >= 0) outcome[`${kind}_count`] = Number(count)
  }
}

/** Opens the export; where all places are taken, a later attempt may find one. */
async function open(exports: Exports, asked: ExportRequest): Promise<Export> {
  try {
    return await exports.open(asked, 'zstd')
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'overloaded') throw error
    throw new PeerError('busy', 'All places for exports are taken here.')
  }
}

const receiverOf = ({ url, key, remotePool }: Target) => ({ url, key, pool: remotePool })

/** Whether a receiver refused an export whose users do not make up its state there. */
const addsUpWrongly = (error: unknown) =>
  error instanceof PeerError && ['state_mismatch', 'export_invalid'].includes(String(error.problem.code))

function failureOf(error: unknown): [failure: RunFailure, detail: string] {
  if (!(error instanceof PeerError)) throw error
  if (addsUpWrongly(error)) return ['integrity', error.message]
  if (otherState(error) !== undefined)
    return ['conflict', 'It holds another state each time it is asked: others write there.']
  return [error.fault, error.message]
}
