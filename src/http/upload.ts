import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import { bodyIsComing } from './body-deadline.ts'
import { createAdmission } from './concurrency-limit.ts'
import { codingOf, decodeBody } from './decompress.ts'

/** A sender who has not looked up from sending by then does not read answers. */
const LINGER_MS = 5_000
const LINGER_BYTES = 67_108_864

/**
 * An `onSend` hook for answers given before the body was read to its end. To close at once would reset the connection, and
 * the reset may overtake the answer; to leave it open would let the sender go on for as long as it likes. So the answer goes
 * out whole, with its length, and what still comes is thrown away for a while; then the connection is closed.
 */
export function answerFirst(
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

/** Resolves when the request has ended, was cut off, or has gone on for too long. */
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

/** How long an upload may take to arrive. The server must not cut it off earlier. */
export const LONGEST_UPLOAD_MS = 900_000

/** Uploads of one route in progress at once. Each uses a database connection of `usersync uploads`. */
export const UPLOAD_PLACES = 3

/** Fewer than all, so that one key cannot keep the others out. Without keys the client's address counts. */
const PLACES_PER_KEY = 2

const PATIENCE: Patience = { silenceMs: 30_000, totalMs: LONGEST_UPLOAD_MS, bytesPerSecond: 1_024 }

interface UploadOptions {
  /** The largest body after decoding, in MiB. */
  limitMb: number
  /** How long an upload waits for its place. */
  waitMs: number
  patience?: Patience | undefined
}

/** Reads the body of a request as decoded text, and gives it to `take`. Throws what the body is refused for, or `overloaded`. */
export type ReceiveUpload = <T>(
  request: FastifyRequest,
  take: (texts: AsyncGenerator<string, void, void>) => Promise<T>,
) => Promise<T>

/**
 * Makes the routes of `app` read their bodies as streams, of any content type. A response that is ready before the body has
 * arrived is sent at once. The connection, the place and the decoder are released whatever ends the upload.
 */
export function acceptUploads(
  app: FastifyInstance,
  { limitMb, waitMs, patience = PATIENCE }: UploadOptions,
): ReceiveUpload {
  const admission = createAdmission(UPLOAD_PLACES, waitMs, PLACES_PER_KEY)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
  app.addHook('onSend', answerFirst)
  app.addHook('onClose', () => admission.empty())

  return async (request, take) => {
    const coding = codingOf(request.headers['content-encoding'])
    const leave = await admission.enter(request.apiKey?.name ?? request.ip)
    const stop = new AbortController()
    const texts = decodeBody(readBody(request.raw, patience, stop.signal), coding, limitMb)
    try {
      return await take(texts)
    } finally {
      stop.abort()
      await texts.return().catch(() => {}) // a body that was not read to its end must let go of the request
      leave()
    }
  }
}
