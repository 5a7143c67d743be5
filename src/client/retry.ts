import { setTimeout as sleep } from 'node:timers/promises'
import { PeerError } from './peer.ts'

const FIRST_PAUSE_MS = 500
const MAX_PAUSE_MS = 30_000

interface Attempts {
  maxAttempts: number
  signal: AbortSignal
  firstPauseMs?: number | undefined
  /** Called after each failed attempt, with the pause before the next one. */
  onPause?: (error: PeerError, pauseMs: number) => void
}

/**
 * Runs a task until it succeeds, at most `maxAttempts` times. Only faults that may pass are retried, with exponential backoff and full
 * jitter, so that clients that failed together do not retry together ("Exponential Backoff And Jitter", AWS Architecture Blog,
 * 2015). Respects a peer's Retry-After. Throws what the last attempt threw, and the reason of `signal`, which has the deadline of
 * all attempts together.
 */
export async function retry<Result>(
  task: (attempt: number) => Promise<Result>,
  { maxAttempts, signal, firstPauseMs = FIRST_PAUSE_MS, onPause }: Attempts,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await task(attempt)
    } catch (error) {
      if (!(error instanceof PeerError) || !error.isRetryable || attempt === maxAttempts) throw error
      const pause = Math.random() * Math.min(MAX_PAUSE_MS, firstPauseMs * 2 ** (attempt - 1))
      const pauseMs = Math.max(Math.min(error.retryAfterMs, MAX_PAUSE_MS), pause)
      onPause?.(error, pauseMs)
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}
