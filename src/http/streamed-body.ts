import type { IncomingMessage } from 'node:http'
import { Problem } from '../errors.ts'

/** How long a sender may take. Time in which we do not read, since the database is at work, is no silence. */
export interface Patience {
  /** Without a single byte. */
  silenceMs: number
  /** From the first look at the body to its end. */
  totalMs: number
}

const EVENTS = ['readable', 'end', 'error', 'close'] as const

/**
 * The pieces of a request's body as they arrive. Unlike the stream's own iterator it leaves the request whole where its
 * reader stops early (`stop` wakes it where it waits), so that an answer can still be sent. Throws `request_timeout` where the
 * sender is too slow, and `import_cut` where it is gone.
 */
export async function* readBody(
  raw: IncomingMessage,
  { silenceMs, totalMs }: Patience,
  stop: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const deadline = performance.now() + totalMs
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
        yield piece
      } else if (raw.readableEnded) {
        return
      } else if (raw.destroyed) {
        throw new Problem('import_cut', 'The connection was cut before the end of the body.')
      } else {
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        wake = resolve
        const timer = setTimeout(
          () => {
            reject(left < silenceMs ? tooSlow(totalMs, 'to arrive as a whole') : tooSlow(silenceMs, 'without a byte'))
          },
          Math.min(silenceMs, left),
        )
        await promise.finally(() => clearTimeout(timer))
      }
    }
  } finally {
    for (const event of EVENTS) raw.off(event, listener)
    stop.removeEventListener('abort', listener)
  }
}

const tooSlow = (milliseconds: number, what: string) =>
  new Problem('request_timeout', `The body took more than ${milliseconds / 1000} s ${what}. Nothing of it was kept.`)
