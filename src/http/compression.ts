import type { OutgoingHttpHeaders } from 'node:http'
import compress from '@fastify/compress'
import type { FastifyInstance, FastifyReply } from 'fastify'
import plugin from 'fastify-plugin'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'
import { memoize } from '../process/memoize.ts'
import { BROTLI_OPTIONS, CODINGS, type Coding, ZLIB_OPTIONS } from './content-coding.ts'
import { codingName, DECODERS, isWindowTooLarge } from './decompress.ts'

/**
 * Sends this status, these headers and those already set, without a body. Skips `onSend` hooks, which have nothing to do for a
 * 304: they and Fastify's body handling are a tenth of its cost.
 */
export function sendHead(reply: FastifyReply, status: number, headers: OutgoingHttpHeaders): FastifyReply {
  if (reply.isLast) reply.header('connection', 'close')
  reply
    .hijack()
    .raw.writeHead(status, Object.assign(reply.getHeaders(), headers) as OutgoingHttpHeaders) // getHeaders returns a copy
    .end()
  return reply
}

/**
 * Content coding per request, by @fastify/compress plus what version 9.2.0 lacks: q-values and rejections by RFC 9110 section
 * 12.5.3 (it never rejects identity), `Vary` on uncompressed responses, and NDJSON.
 */
export const compression = plugin<{ threshold: number }>(
  async (app: FastifyInstance, { threshold }) => {
    // @fastify/compress compares names literally: it knows neither `GZIP` nor `x-gzip`.
    app.addHook('onRequest', ({ headers }, _reply, next) => {
      const coding = headers['content-encoding']
      if (coding !== undefined) headers['content-encoding'] = codingName(coding)
      next()
    })
    app.addHook('onRequest', (request, reply, next) => {
      reply.header('vary', 'accept-encoding')
      const accepted = request.headers['accept-encoding']
      // RFC 9110 allows any coding if the header is missing. Clients that can decode send the header, so the others get plain bytes.
      const coding = accepted === undefined ? 'identity' : preferredCoding(String(accepted))
      request.headers['accept-encoding'] = coding
      if (coding) return next()
      request.headers['accept-encoding'] = 'identity'
      next(new Problem('not_acceptable', `Accept-Encoding must leave one of ${CODINGS.join(', ')}.`))
    })
    await app.register(compress, {
      threshold,
      encodings: [...CODINGS],
      customTypes: /^application\/(x-ndjson|sql|(problem\+)?json)|^text\/(?!event-stream)/,
      brotliOptions: BROTLI_OPTIONS,
      zlibOptions: ZLIB_OPTIONS,
      zlib: { createZstdDecompress: DECODERS.zstd },
      onInvalidRequestPayload: (_coding, _request, error) => (isWindowTooLarge(error) ? error : undefined), // keep its error code
    })
  },
  { name: 'compression' },
)

/** Returns the acceptable coding with the highest q-value; ties go to the service's preference. Undefined if none is acceptable. */
const preferredCoding = memoize((acceptEncoding): Coding | undefined => {
  // The published types are those of negotiator 0.6, which had no server-side preference order.
  const accepted = acceptEncoding.replaceAll(/\bx-(?=gzip\b)/gi, '')
  const negotiator = new Negotiator({ headers: { 'accept-encoding': accepted } }) as unknown as {
    encodings(available: readonly Coding[], options: { preferred: readonly Coding[] }): Coding[]
  }
  return negotiator.encodings(CODINGS, { preferred: CODINGS })[0]
})
