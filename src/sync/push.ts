import { pipeline, Readable, Transform } from 'node:stream'
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import { callPeer, type Peer, PeerError, type PeerResponse } from '../client/peer.ts'
import { retry } from '../client/retry.ts'
import { Problem } from '../errors.ts'
import { type ExportRequest, ndjsonRequest } from '../export/export-request.ts'
import type { Export, Exports } from '../export/exports.ts'
import { ZLIB_OPTIONS } from '../http/content-coding.ts'
import type { State } from '../protocol/state.ts'
import { heldState, otherState, replicaPath, requireState } from './probe.ts'
import type { Outcome, RunFailure } from './sync-runs.ts'
import { type Target, targetNotFound } from './targets.ts'

const compress = promisify(zstdCompress)

/** How long a receiver may send nothing while it applies an export: for a full one of a million users PostgreSQL takes minutes. */
const SILENCE_MS = 300_000

interface Sending {
  path: string
  signal: AbortSignal
  /** Called with the number of bytes sent on the wire. */
  onBytes: (bytes: number) => void
}

/**
 * Sends an NDJSON export to a peer, compressed, at the peer's pace. Throws PeerError, the reason of `signal`, and errors of the
 * export itself, which are not the peer's fault.
 */
async function sendExport(peer: Peer, { body }: Export, { path, signal, onBytes }: Sending): Promise<PeerResponse> {
  const source = 'text' in body ? Readable.from([await compress(body.text, ZLIB_OPTIONS)]) : body.stream
  const coding = 'text' in body ? 'zstd' : (body.encoded ?? 'identity')
  const counted = new Transform({
    transform(bytes: Buffer, _encoding, next) {
      onBytes(bytes.length)
      next(null, bytes)
    },
  })
  let ownFault: Error | undefined
  // Registered before `pipeline`, which destroys each stream with the error of the other.
  source.once('error', (error) => {
    if (!counted.destroyed) ownFault = error
  })
  pipeline(source, counted, () => {})
  try {
    const headers = {
      'content-type': 'application/x-ndjson',
      ...(coding !== 'identity' && { 'content-encoding': coding }),
    }
    return await callPeer(peer, { method: 'PUT', path, headers, body: counted, silenceMs: SILENCE_MS, signal })
  } catch (error) {
    throw ownFault ?? error
  } finally {
    counted.destroy() // a receiver may answer before it has read everything
  }
}

const ATTEMPTS = 4

/** How often an attempt sends again because the receiver has another state than it reported. */
const SENDS = 3

/**
 * How long a push may take, wait between its attempts, and wait for the state that the receiver holds: a second longer than a
 * receiver waits for a lock or a connection before it answers 503.
 */
export const PUSH_PACE = { deadlineMs: 900_000, firstPauseMs: 500, patienceMs: 6_000 }

interface Push {
  exports: Exports
  target: Target
  signal: AbortSignal
  /** How long the receiver may take to report its state. */
  patienceMs: number
  /** What came of it so far, also of attempts that fail. */
  outcome: Outcome
}

/**
 * Brings a target in sync with the current state of its filter. Probes the target's state and sends the delta from there. Sends the
 * full export instead if that state is unknown, the target reports a wrong state, or `full` is set. Never throws for what a target
 * does: the outcome says it. Throws the reason of `signal`, and internal errors.
 */
export async function push(
  exports: Exports,
  target: Target,
  { full, signal, pace = PUSH_PACE }: { full: boolean; signal: AbortSignal; pace?: typeof PUSH_PACE },
): Promise<Outcome> {
  const deadline = AbortSignal.timeout(pace.deadlineMs)
  const outcome = nothingYet()
  const task = { exports, target, signal: AbortSignal.any([signal, deadline]), patienceMs: pace.patienceMs, outcome }
  try {
    await retry(
      async (attempt) => {
        outcome.attempts = attempt
        await bringInStep(task, full)
      },
      { maxAttempts: ATTEMPTS, signal: task.signal, firstPauseMs: pace.firstPauseMs },
    )
    return outcome
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.aborted) {
      const detail = `The target was not in sync after ${pace.deadlineMs / 60_000} minutes.`
      return { ...outcome, failure: 'deadline', detail }
    }
    const [failure, detail] = failureOf(error)
    return { ...outcome, failure, detail }
  }
}

/** The outcome of a run that has not started. */
export const nothingYet = (): Outcome => ({
  kind: null,
  base: null,
  state: null,
  added_count: 0,
  updated_count: 0,
  deleted_count: 0,
  sent_count: 0,
  sent_bytes: 0,
  attempts: 0,
  failure: null,
  detail: null,
  canary: null,
})

async function bringInStep(task: Push, full: boolean): Promise<void> {
  const { exports, target, signal, patienceMs, outcome } = task
  const { pool, filter } = target
  const present = await exports.currentScope({ pool, filter })
  const held = full ? undefined : await heldState(receiverOf(target), present, { signal, patienceMs })
  let receiverState = held?.state
  if (receiverState === present.state) {
    Object.assign(outcome, { kind: 'unchanged', base: receiverState, state: receiverState })
    return
  }
  for (let sends = 1; ; sends++) {
    try {
      await send(task, receiverState)
      return
    } catch (error) {
      const other = otherState(error)
      const isDelta = outcome.kind !== 'full'
      if (sends === SENDS || (other === undefined && !(isDelta && addsUpWrongly(error)))) throw error
      receiverState = other
    }
  }
}

/** Sends the delta from `receiverState`, or the full export, and records the outcome. */
async function send({ exports, target, signal, outcome }: Push, receiverState: State | undefined): Promise<void> {
  const exported = await open(exports, ndjsonRequest(target, receiverState))
  await requireOwnPool(exports, target, exported)
  const { plan, state } = exported
  Object.assign(outcome, { kind: plan.kind, base: plan.base?.state ?? null, state })
  const onBytes = (bytes: number) => {
    outcome.sent_bytes += bytes
  }
  const path = replicaPath(target.remotePool)
  const answer = await sendExport(receiverOf(target), exported, { path, signal, onBytes })
  const { counts, total_count: total } = await requireState(answer, state)
  const { added, updated, deleted } = (counts ?? {}) as Record<string, unknown>
  outcome.added_count = countOf(added)
  outcome.updated_count = countOf(updated)
  outcome.deleted_count = countOf(deleted)
  // The receiver counts what differed there. A full export sends all users.
  outcome.sent_count = Math.max(outcome.added_count + outcome.updated_count, plan.kind === 'full' ? countOf(total) : 0)
}

const countOf = (value: unknown) => (Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : 0)

/**
 * Throws `target_not_found` if the pool that the export was opened in is not the target's, but one that has been created since under the
 * name: the target was deleted with its pool. The pool's id is read after the export, so the export is of no other pool.
 */
async function requireOwnPool(exports: Exports, { poolId, pool, filter }: Target, { body }: Export): Promise<void> {
  try {
    const present = await exports.currentScope({ pool, filter })
    if (present.poolId !== poolId) throw targetNotFound()
  } catch (error) {
    if ('stream' in body) body.stream.destroy()
    throw error
  }
}

/** Opens the export. If all places are taken, a later attempt may find one. */
async function open(exports: Exports, request: ExportRequest): Promise<Export> {
  try {
    return await exports.open(request, 'zstd')
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'overloaded') throw error
    throw new PeerError('busy', 'This service runs the maximum number of exports.')
  }
}

const receiverOf = ({ url, key, remotePool }: Target) => ({ url, key, pool: remotePool })

/** Whether a receiver rejected an export because its users do not match the state there. */
const addsUpWrongly = (error: unknown) =>
  error instanceof PeerError && ['state_mismatch', 'export_invalid'].includes(String(error.problem.code))

function failureOf(error: unknown): [failure: RunFailure, detail: string] {
  if (!(error instanceof PeerError)) throw error
  if (addsUpWrongly(error)) return ['integrity', error.message]
  if (otherState(error) !== undefined)
    return ['conflict', 'The target has another state at each probe: another source writes to it.']
  return [error.fault, error.message]
}
