import { setTimeout as sleep } from 'node:timers/promises'
import { PeerError } from './peer.ts'

const FIRST_PAUSE_MS = 500
const MAX_PAUSE_MS = 30_000

interface Attempts {
  most: number
  signal: AbortSignal
  firstPauseMs?: number | undefined
  /** Called for each attempt that failed, with the pause before the next. */
  onPause?: (error: PeerError, pauseMs: number) => void
}

/**
 * Runs a task until it succeeds, at most `most` times. Only faults that may pass are retried, after a pause that doubles, of
 * which a random share is waited, so that clients that failed together do not come back together ("Exponential Backoff And
 * Jitter", AWS Architecture Blog, 2015: full jitter); a peer's Retry-After is respected. Throws what the last attempt threw,
 * and the reason of `signal`, which holds the deadline of all attempts together.
 */
export async function withAttempts<Result>(
  task: (attempt: number) => Promise<Result>,
  { most, signal, firstPauseMs = FIRST_PAUSE_MS, onPause }: Attempts,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await task(attempt)
    } catch (error) {
      if (!(error instanceof PeerError) || !error.isPassing || attempt === most) throw error
      const pause = Math.random() * Math.min(MAX_PAUSE_MS, firstPauseMs * 2 ** (attempt - 1))
      const pauseMs = Math.max(Math.min(error.retryAfterMs, MAX_PAUSE_MS), pause)
      onPause?.(error, pauseMs)
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}
