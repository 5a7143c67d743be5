import { setTimeout as sleep } from 'node:timers/promises'
import { PeerError } from './peer.ts'

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

interface Attempts {
  most: number
  signal: AbortSignal
  /** Told of each attempt that failed, and of the pause before the next. */
  onPause?: (error: PeerError, pauseMs: number) => void
}

/**
 * Runs a task until it ends well, at the most so many times. Only faults that may pass are tried again, after a pause that
 * doubles, of which a random share is waited, so that many who failed at once do not come back at once ("Exponential
 * Backoff And Jitter", AWS Architecture Blog, 2015: full jitter); a peer's Retry-After is kept to. Throws what the last
 * attempt threw, and the reason of `signal`, which holds the deadline of all attempts together.
 */
export async function withAttempts<Result>(
  task: (attempt: number) => Promise<Result>,
  { most, signal, onPause }: Attempts,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await task(attempt)
    } catch (error) {
      if (!(error instanceof PeerError) || !error.isPassing || attempt === most) throw error
      const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1))
      const pauseMs = Math.max(Math.min(error.retryAfterMs, LONGEST_PAUSE_MS), pause)
      onPause?.(error, pauseMs)
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}
