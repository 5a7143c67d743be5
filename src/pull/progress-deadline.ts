const DEADLINE_MS = 600_000
const BYTES = 10_000_000

/** Ends a round that makes no progress. */
export interface ProgressDeadline extends Disposable {
  /** Aborts with `stop`, or with a TimeoutError. */
  signal: AbortSignal
  /** Counts bytes that arrived. */
  received(bytes: number): void
}

/**
 * Gives a round 10 minutes, and 10 more each time it has received 10 MB. So a large export over a slow network ends, and one that drips
 * does not last.
 */
export function progressDeadline(stop: AbortSignal): ProgressDeadline {
  const controller = new AbortController()
  const onStop = () => controller.abort(stop.reason)
  const onTime = () => controller.abort(new DOMException('less than 10 MB arrived in 10 minutes', 'TimeoutError'))
  let timer = setTimeout(onTime, DEADLINE_MS)
  let left = BYTES
  if (stop.aborted) onStop()
  else stop.addEventListener('abort', onStop, { once: true })
  return {
    signal: controller.signal,
    received(bytes) {
      left -= bytes
      if (left > 0) return
      left = BYTES
      clearTimeout(timer)
      timer = setTimeout(onTime, DEADLINE_MS)
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      stop.removeEventListener('abort', onStop)
    },
  }
}
