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
export function progressDeadline(stop: AbortSignal, ms = DEADLINE_MS, bytesEach = BYTES): ProgressDeadline {
  const controller = new AbortController()
  const onStop = () => controller.abort(stop.reason)
  const onTime = () => {
    const [megabytes, minutes] = [bytesEach / 1e6, ms / 60_000]
    controller.abort(new DOMException(`less than ${megabytes} MB arrived in ${minutes} minutes`, 'TimeoutError'))
  }
  let timer = setTimeout(onTime, ms)
  let left = bytesEach
  if (stop.aborted) onStop()
  else stop.addEventListener('abort', onStop, { once: true })
  return {
    signal: controller.signal,
    received(bytes) {
      left -= bytes
      if (left > 0) return
      left = bytesEach
      clearTimeout(timer)
      timer = setTimeout(onTime, ms)
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      stop.removeEventListener('abort', onStop)
    },
  }
}
