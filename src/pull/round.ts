import { withAttempts } from '../sync/attempts.ts'
import type { PeerError } from '../sync/peer.ts'
import { ExportError } from '../sync/read-export.ts'
import { DeltaTooLarge } from './changes.ts'
import type { Held } from './held.ts'
import { type Job, type Transferred, transfer } from './transfer.ts'

const MOST_ATTEMPTS = 6
const DEADLINE_MS = 600_000

export interface RoundEvents {
  /** An attempt failed, and another one follows after the pause. */
  onPause: (error: PeerError, pauseMs: number) => void
  /** What came cannot be used, and everything is asked for. */
  onDistrust: (error: Error) => void
}

/**
 * Brings the files to the present state, in 10 minutes at the most. Where what came cannot be used, it asks once for
 * everything anew. Throws as `transfer` does.
 */
export async function pullRound(
  job: Job,
  held: Held | undefined,
  stop: AbortSignal,
  { onPause, onDistrust }: RoundEvents,
): Promise<Transferred> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(DEADLINE_MS)])
  const attempts = { most: MOST_ATTEMPTS, signal, onPause }
  try {
    return await withAttempts(() => transfer(job, held, false, signal), attempts)
  } catch (error) {
    if (!(error instanceof ExportError || error instanceof DeltaTooLarge)) throw error
    onDistrust(error)
    return await withAttempts(() => transfer(job, held, true, signal), attempts)
  }
}
