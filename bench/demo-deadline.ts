/**
 * Runs `task` for at most `seconds`, or until `outer` is aborted. The task receives a signal for that; if it ignores
 * the signal, it is abandoned. Throws an error that names `what` and the reason.
 */
export async function within<Result>(
  seconds: number,
  what: string,
  task: (signal: AbortSignal) => Promise<Result>,
  outer?: AbortSignal,
): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(new Error(`not done within ${seconds} s`)), seconds * 1000)
  const signal = AbortSignal.any(outer ? [outer, deadline.signal] : [deadline.signal])
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([task(signal), aborted])
  } catch (cause) {
    throw new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  } finally {
    clearTimeout(timer)
  }
}
