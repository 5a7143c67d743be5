import type { OutgoingHttpHeaders } from 'node:http'
import compress from '@fastify/compress'
import type { FastifyInstance, FastifyReply } from 'fastify'
import plugin from 'fastify-plugin'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'
import { BROTLI_OPTIONS, CODINGS, type Coding, ZLIB_OPTIONS } from './content-coding.ts'
import { codingName, DECODERS, isWindowTooLarge } from './decompress.ts'
import { remembered } from './memoize.ts'

/**
 * Answers by this status, these headers and those that are set, without a body and past `onSend` hooks, which have nothing to
 * do for it: they, and what Fastify does about a body, are a tenth of what a 304 costs.
 */
export function sendHead(reply: FastifyReply, status: number, headers: OutgoingHttpHeaders): FastifyReply {
  if (reply.isLast) reply.header('connection', 'close')
  reply
    .hijack()
    .raw.writeHead(status, { ...reply.getHeaders(), ...headers } as OutgoingHttpHeaders)
    .end()
  return reply
}

/**
 * Content coding negotiated for each request, by @fastify/compress with what it lacks (9.2.0): q-values and refusals by
 * RFC 9110 section 12.5.3 (it never refuses identity), `Vary` on answers that go out as they are, and NDJSON.
 */
export const compression = plugin<{ threshold: number }>(
  async (app: FastifyInstance, { threshold }) => {
    // @fastify/compress compares names as they stand: neither `GZIP` nor `x-gzip` is one that it knows.
    app.addHook('onRequest', ({ headers }, _reply, next) => {
      const coding = headers['content-encoding']
      if (coding !== undefined) headers['content-encoding'] = codingName(coding)
      next()
    })
    app.addHook('onRequest', (request, reply, next) => {
      reply.header('vary', 'accept-encoding')
      const accepted = request.headers['accept-encoding']
      // A request without the header takes any coding, but a client that can decode says so: it gets the plain bytes.
      const coding = accepted === undefined ? 'identity' : preferredCoding(String(accepted))
      request.headers['accept-encoding'] = coding
      if (coding) return next()
      request.headers['accept-encoding'] = 'identity'
      next(new Problem('not_acceptable', `Accept-Encoding must leave one of ${CODINGS.join(', ')}.`))
    })
    await app.register(compress, {
      threshold,
      encodings: [...CODINGS],
      customTypes: /^application\/(x-ndjson|(problem\+)?json)|^text\/(?!event-stream)/,
      brotliOptions: BROTLI_OPTIONS,
      zlibOptions: ZLIB_OPTIONS,
      zlib: { createZstdDecompress: DECODERS.zstd },
      onInvalidRequestPayload: (_coding, _request, error) => (isWindowTooLarge(error) ? error : undefined), // keeps its code
    })
  },
  { name: 'compression' },
)

/** The acceptable coding of the highest q-value, of several the one we prefer; undefined where none is acceptable. */
const preferredCoding = remembered((acceptEncoding): Coding | undefined => {
  // The published types are of negotiator 0.6, which had no order of preference of the server's own.
  const accepted = acceptEncoding.replaceAll(/\bx-(?=gzip\b)/gi, '')
  const negotiator = new Negotiator({ headers: { 'accept-encoding': accepted } }) as unknown as {
    encodings(available: readonly Coding[], options: { preferred: readonly Coding[] }): Coding[]
  }
  return negotiator.encodings(CODINGS, { preferred: CODINGS })[0]
})
