import type { IncomingMessage } from 'node:http'
import { Problem } from '../errors.ts'

/** How slow a client may be. Time in which the service does not read, since the database is busy, does not count. */
export interface Patience {
  /** The longest wait for a single byte. */
  silenceMs: number
  /** From the first read to the end of the body. */
  totalMs: number
  /** The least rate, averaged over each `silenceMs` of waiting: a byte now and then does not keep a place. */
  bytesPerSecond: number
}

const EVENTS = ['readable', 'end', 'error', 'close'] as const

/**
 * The pieces of a request's body as they arrive. Unlike the stream's own iterator it does not destroy the request where its
 * reader stops early (`stop` wakes it where it waits), so that a response can still be sent. Throws `request_timeout` where
 * the client is too slow, and `import_cut` where it is gone.
 */
export async function* readBody(
  raw: IncomingMessage,
  { silenceMs, totalMs, bytesPerSecond }: Patience,
  stop: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const deadline = performance.now() + totalMs
  let waitedMs = 0
  let bytes = 0
  let wake = () => {}
  const listener = () => wake()
  for (const event of EVENTS) raw.on(event, listener)
  stop.addEventListener('abort', listener)
  try {
    while (!stop.aborted) {
      const left = deadline - performance.now()
      if (left <= 0) throw tooSlow(totalMs, 'to arrive as a whole')
      const piece = raw.read() as Buffer | null
      if (piece !== null) {
        bytes += piece.length
        yield piece
      } else if (raw.readableEnded) {
        return
      } else if (raw.destroyed) {
        throw new Problem('import_cut', 'The connection was cut before the end of the body.')
      } else {
        if (waitedMs >= silenceMs) {
          if (bytes < (bytesPerSecond * waitedMs) / 1000) throw belowRate(bytesPerSecond)
          waitedMs = bytes = 0
        }
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        wake = resolve
        const timer = setTimeout(
          () => {
            reject(left < silenceMs ? tooSlow(totalMs, 'to arrive as a whole') : tooSlow(silenceMs, 'without a byte'))
          },
          Math.min(silenceMs, left),
        )
        const began = performance.now()
        await promise.finally(() => clearTimeout(timer))
        waitedMs += performance.now() - began
      }
    }
  } finally {
    for (const event of EVENTS) raw.off(event, listener)
    stop.removeEventListener('abort', listener)
  }
}

const tooSlow = (milliseconds: number, what: string) =>
  new Problem('request_timeout', `The body took more than ${milliseconds / 1000} s ${what}. Nothing of it was kept.`)

const belowRate = (bytesPerSecond: number) =>
  new Problem(
    'request_timeout',
    `The body arrived at less than ${bytesPerSecond} bytes a second. Nothing of it was kept.`,
  )
