import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { createConcurrencyLimit } from './concurrency-limit.ts'
import { codingOf, decodeBody } from './decompress.ts'
import { bodyIsComing } from './request-body.ts'

/** Stop draining after this: a client that has not read the response by now never will. */
const LINGER_MS = 5_000
const LINGER_BYTES = 67_108_864

/**
 * An `onSend` hook for responses that are ready before the whole body was read. Closing at once would reset the connection, and the
 * reset may overtake the response. Leaving it open would let the client send without limit. So this hook sends the complete
 * response with its length, discards what still arrives for a short time, and then closes the connection.
 */
function respondEarly(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload: unknown) => void,
): void {
  if (typeof payload !== 'string' || !bodyIsComing(request.raw)) {
    done(null, payload)
    return
  }
  reply.header('connection', 'close').header('content-length', Buffer.byteLength(payload))
  async function* answer() {
    yield payload
    await throwAway(request.raw)
  }
  done(null, Readable.from(answer(), { objectMode: false }))
}

/** Discards the rest of the body. Resolves when the request ends, fails, or exceeds the limits above. */
async function throwAway(raw: IncomingMessage): Promise<void> {
  const stop = new AbortController()
  const end = () => stop.abort()
  let bytes = 0
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > LINGER_BYTES) end()
  })
  raw.once('end', end).once('close', end).once('error', end).resume()
  await sleep(LINGER_MS, undefined, { signal: stop.signal }).catch(() => {})
}

/** Upload timeouts. Time we spend waiting for the database does not count as client silence. */
export interface Patience {
  /** The longest wait for the next byte. */
  silenceMs: number
  /** From the first read to the end of the body. */
  totalMs: number
  /** The minimum rate, averaged over each `silenceMs` of waiting: a byte now and then is not enough to keep a place. */
  bytesPerSecond: number
}

const EVENTS = ['readable', 'end', 'error', 'close'] as const

/**
 * Yields the chunks of a request body as they arrive. Unlike the stream's own iterator, it does not destroy the request if the
 * reader stops early, so a response can still be sent; `stop` wakes it while it waits. Throws `request_timeout` if the client is
 * too slow, and `import_cut` if it disconnects.
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
      if (left <= 0) throw tooSlow(totalMs, 'to arrive')
      const piece = raw.read() as Buffer | null
      if (piece !== null) {
        bytes += piece.length
        yield piece
      } else if (raw.readableEnded) {
        return
      } else if (raw.destroyed) {
        throw new Problem('import_cut', 'The connection closed before the end of the body.')
      } else {
        if (waitedMs >= silenceMs) {
          if (bytes < (bytesPerSecond * waitedMs) / 1000) throw belowRate(bytesPerSecond)
          waitedMs = bytes = 0
        }
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        wake = resolve
        const timer = setTimeout(
          () => {
            reject(left < silenceMs ? tooSlow(totalMs, 'to arrive') : tooSlow(silenceMs, 'without a byte'))
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
  new Problem('request_timeout', `The body took more than ${milliseconds / 1000} s ${what}. Nothing was stored.`)

const belowRate = (bytesPerSecond: number) =>
  new Problem('request_timeout', `The body arrived at less than ${bytesPerSecond} bytes a second. Nothing was stored.`)

/** The longest time an upload may take. The server must not cut it off earlier. */
export const UPLOAD_TIMEOUT_MS = 900_000

/** Concurrent uploads per route. Each uses a database connection of `usersync uploads`. */
export const UPLOAD_PLACES = 3

/** Less than all places, so that one key cannot block the others. Without keys, the client address counts. */
const PLACES_PER_KEY = 2

const PATIENCE: Patience = { silenceMs: 30_000, totalMs: UPLOAD_TIMEOUT_MS, bytesPerSecond: 1_024 }

interface UploadOptions {
  /** The maximum decoded size of a body, in MiB. */
  limitMb: number
  /** How long an upload waits for a place. */
  waitMs: number
  patience?: Patience | undefined
}

/** Reads a request body as decoded text and passes it to `take`. Throws why the body is rejected, or `overloaded`. */
export type ReceiveUpload = <T>(
  request: FastifyRequest,
  take: (texts: AsyncGenerator<string, void, void>) => Promise<T>,
) => Promise<T>

/**
 * Makes the routes of `app` read their bodies as streams, with any content type. A response that is ready before the body has
 * arrived is sent at once. The connection, the place and the decoder are released however the upload ends.
 */
export function acceptUploads(
  app: FastifyInstance,
  { limitMb, waitMs, patience = PATIENCE }: UploadOptions,
): ReceiveUpload {
  const concurrencyLimit = createConcurrencyLimit(UPLOAD_PLACES, waitMs, PLACES_PER_KEY)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
  app.addHook('onSend', respondEarly)
  app.addHook('onClose', () => concurrencyLimit.idle())

  return async (request, take) => {
    const coding = codingOf(request.headers['content-encoding'])
    const release = await concurrencyLimit.acquire(request.apiKey?.name ?? request.ip)
    const stop = new AbortController()
    const texts = decodeBody(readBody(request.raw, patience, stop.signal), coding, limitMb)
    try {
      return await take(texts)
    } finally {
      stop.abort()
      await texts.return().catch(() => {}) // releases the request if the body was not read to its end
      release()
    }
  }
}
