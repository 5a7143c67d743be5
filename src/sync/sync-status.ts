import type { Exports } from '../export/exports.ts'
import type { State } from '../export/state.ts'
import type { Target } from '../targets/targets.ts'
import { heldState } from './held-state.ts'
import { PeerError, type PeerFault } from './peer.ts'

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
    const held = await heldState({ ...target, pool: target.remotePool }, present, patience)
    return { ...status, in_step: held === present.state, remote_state: held }
  } catch (error) {
    if (patience.aborted) return { ...status, remote_failure: 'timeout' }
    if (error instanceof PeerError) return { ...status, remote_failure: error.fault }
    throw error
  }
}
