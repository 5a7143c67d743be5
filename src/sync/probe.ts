import type { Sql } from 'postgres'
import {
  asPeerError,
  callPeer,
  type Peer,
  PeerError,
  type PeerFault,
  type PeerResponse,
  readJson,
} from '../client/peer.ts'
import type { Exports } from '../export/exports.ts'
import { urlInPool } from '../pools/pool-parameter.ts'
import type { State } from '../protocol/state.ts'
import { isSink } from './kinds/kinds.ts'
import { readRest } from './sinks/due-users.ts'
import type { Target } from './targets.ts'

/** What a receiver has. */
interface ReceiverState {
  state: State
  /** Whether a run makes the pool a replica of everything: it is empty, and none yet. */
  becomesReplica: boolean
}

/**
 * Probes a receiver with an empty `unchanged` export of this state and user count, and returns the state it has. Costs one look-up
 * on each side. Throws PeerError after at most `patienceMs`, and the reason of `signal`.
 *
 * The limit is a timer of its own. Those of undici count ticks of half a second: a limit of 1.5 s lasted 2.0 to 3.0 s.
 */
export async function heldState(
  peer: Peer & { pool: string },
  { state, userCount }: { state: State; userCount: number },
  { patienceMs, signal }: { patienceMs: number; signal?: AbortSignal },
): Promise<ReceiverState> {
  const patience = AbortSignal.timeout(patienceMs)
  const counts = { added: 0, updated: 0, deleted: 0 }
  const head = { kind: 'unchanged', base: state, state, total_count: userCount, counts }
  const body = `${JSON.stringify(head)}\n${JSON.stringify({ end: state, lines: 0 })}\n`
  const headers = { 'content-type': 'application/x-ndjson' }
  try {
    const either = signal ? AbortSignal.any([signal, patience]) : patience
    const call = { method: 'PUT', path: replicaPath(peer.pool), headers, body, signal: either } as const
    await requireState(await callPeer(peer, { ...call, silenceMs: patienceMs }), state)
    return { state, becomesReplica: false }
  } catch (error) {
    signal?.throwIfAborted()
    if (patience.aborted) throw asPeerError(patience.reason)
    const remoteState = otherState(error)
    if (remoteState === undefined) throw error
    return { state: remoteState, becomesReplica: (error as PeerError).problem.becomesReplica === true }
  }
}

/** Reads the response of a receiver that accepted an export. Throws PeerError if it names another state than was sent. */
export async function requireState({ body }: PeerResponse, state: State): Promise<Record<string, unknown>> {
  const response = await readJson(body)
  if (response['state'] === state) return response
  throw new PeerError('not_understood', 'The receiver accepts the export, but answers with another state.')
}

/** The path where a receiver takes exports for one of its pools. */
export const replicaPath = (pool: string) => urlInPool('/v1/replica/users', pool)

/** Returns the state that a receiver reports if it rejects an export for another base; otherwise undefined. */
export function otherState(error: unknown): State | undefined {
  return error instanceof PeerError && error.problem.code === 'base_mismatch' ? error.problem.state : undefined
}

/** Whether a target is in sync, as it reports now. */
export interface TargetStatus {
  target: string
  in_step: boolean
  local_state: State
  /** Null if unknown. */
  remote_state: State | null
  /** Why the state is unknown. */
  remote_failure: PeerFault | null
  becomes_replica: boolean
}

/** Timeout for all targets together; they are probed in parallel. */
const PATIENCE_MS = 5_000

/**
 * Compares the state of a target's filter with the state of the target. Costs one look-up on each side. The state of a sink is the one
 * that we recorded for it: it is in step if nothing is left to do there.
 */
export async function targetStatus(
  sql: Sql,
  exports: Exports,
  { name, pool, filter, ...target }: Target,
): Promise<TargetStatus> {
  const present = await exports.currentScope({ pool, filter })
  const unknown = { remote_state: null, remote_failure: null, becomes_replica: false }
  const status = { target: name, in_step: false, local_state: present.state, ...unknown }
  if (isSink(target.kind)) {
    const { isDue } = await readRest(sql, { poolId: target.poolId, name })
    const remoteState = isDue ? null : target.plannedState
    const isInStep = remoteState === present.state && target.plannedVersion === present.version
    return { ...status, in_step: isInStep, remote_state: remoteState }
  }
  try {
    const receiver = await heldState({ ...target, pool: target.remotePool }, present, {
      patienceMs: PATIENCE_MS,
    })
    const isInStep = receiver.state === present.state
    return { ...status, in_step: isInStep, remote_state: receiver.state, becomes_replica: receiver.becomesReplica }
  } catch (error) {
    if (error instanceof PeerError) return { ...status, remote_failure: error.fault }
    throw error
  }
}
