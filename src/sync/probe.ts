import { callPeer, type Peer, type PeerAnswer, PeerError, type PeerFault, readJson } from '../client/peer.ts'
import type { Exports } from '../export/exports.ts'
import type { State } from '../protocol/state.ts'
import type { Target } from './targets.ts'

/**
 * Asks a receiver whether it holds this state, of so many users, by an export that changes nothing; gives the state that it
 * holds. It costs neither side more than a look-up. Throws PeerError, and the reason of `signal`.
 */
export async function heldState(
  peer: Peer & { pool: string },
  { state, userCount }: { state: State; userCount: number },
  { signal, silenceMs }: { signal: AbortSignal; silenceMs: number },
): Promise<State> {
  const counts = { added: 0, updated: 0, deleted: 0 }
  const head = { kind: 'unchanged', base: state, state, total_count: userCount, counts }
  const body = `${JSON.stringify(head)}\n${JSON.stringify({ end: state, lines: 0 })}\n`
  const headers = { 'content-type': 'application/x-ndjson' }
  try {
    const call = { method: 'PUT', path: replicaPath(peer.pool), headers, body, silenceMs, signal } as const
    await requireState(await callPeer(peer, call), state)
    return state
  } catch (error) {
    const held = otherState(error)
    if (held === undefined) throw error
    return held
  }
}

/** Reads the answer of a receiver that took an export. Throws PeerError where it is not of the state that was sent. */
export async function requireState({ body }: PeerAnswer, state: State): Promise<Record<string, unknown>> {
  const told = await readJson(body)
  if (told['state'] === state) return told
  throw new PeerError('not_understood', 'It answers well, but not with the state that was sent.')
}

/** Where a receiver takes exports for one of its pools. */
export const replicaPath = (pool: string) => `/v1/replica/users${pool === 'default' ? '' : `?pool=${pool}`}`

/** The state that a receiver says it holds if it refuses an export for another base; else undefined. */
export function otherState(error: unknown): State | undefined {
  return error instanceof PeerError && error.problem.code === 'base_mismatch' ? error.problem.state : undefined
}

/** How far a target is in step, as it says itself at this moment. */
export interface TargetStatus {
  target: string
  in_step: boolean
  local_state: State
  /** Null where it could not be told. */
  remote_state: State | null
  /** Why not. */
  remote_failure: PeerFault | null
}

/** How long all targets together may take; they are asked at once. */
const PATIENCE_MS = 5_000

/** Compares the state of a target's filter with the one that the target holds: a look-up on either side. */
export async function targetStatus(exports: Exports, { name, pool, filter, ...target }: Target): Promise<TargetStatus> {
  const present = await exports.currentScope({ pool, filter })
  const status = { target: name, in_step: false, local_state: present.state, remote_state: null, remote_failure: null }
  const patience = AbortSignal.timeout(PATIENCE_MS)
  try {
    const held = await heldState({ ...target, pool: target.remotePool }, present, {
      signal: patience,
      silenceMs: PATIENCE_MS,
    })
    return { ...status, in_step: held === present.state, remote_state: held }
  } catch (error) {
    if (patience.aborted) return { ...status, remote_failure: 'timeout' }
    if (error instanceof PeerError) return { ...status, remote_failure: error.fault }
    throw error
  }
}
