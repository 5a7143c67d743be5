import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createAdmission } from './admission.ts'
import { answerFirst } from './answer-first.ts'
import { codingOf, decodeBody } from './decode.ts'
import { type Patience, readBody } from './streamed-body.ts'

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
