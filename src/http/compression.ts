import type { IncomingMessage } from 'node:http'
import { constants } from 'node:zlib'
import compress from '@fastify/compress'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import Negotiator from 'negotiator'
import { Problem } from '../errors.ts'

/** In the order in which the service prefers them where the client does not care. */
const CODINGS = ['zstd', 'br', 'gzip', 'deflate', 'identity'] as const

/**
 * Content coding negotiated for each request, by @fastify/compress with what it lacks (9.2.0): q-values and refusals by
 * RFC 9110 section 12.5.3 (it never refuses identity), `Vary` on answers that go out as they are, and NDJSON.
 *
 * The levels keep one core ahead of PostgreSQL's lines: gzip 6, zstd 3, brotli 4 (its default elsewhere is 11).
 */
export const compression = plugin<{ threshold: number }>(
  async (app: FastifyInstance, { threshold }) => {
    app.addHook('onRequest', (request, reply, next) => {
      reply.header('vary', 'accept-encoding')
      const coding = preferredCoding(request.raw)
      // A request without the header takes any coding, but a client that can decode says so: it gets the plain bytes.
      request.headers['accept-encoding'] = request.headers['accept-encoding'] === undefined ? 'identity' : coding
      if (coding) return next()
      request.headers['accept-encoding'] = 'identity'
      next(new Problem('not_acceptable', `Accept-Encoding must leave one of ${CODINGS.join(', ')}.`))
    })
    await app.register(compress, {
      threshold,
      encodings: [...CODINGS],
      customTypes: /^application\/(x-ndjson|(problem\+)?json)|^text\/(?!event-stream)/,
      brotliOptions: { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } },
      // One object serves gzip and deflate (`level`) and zstd (`params`).
      zlibOptions: { level: 6, params: { [constants.ZSTD_c_compressionLevel]: 3 } } as object,
    })
  },
  { name: 'compression' },
)

/** The acceptable coding of the highest q-value, of several the one we prefer; undefined where none is acceptable. */
function preferredCoding(request: IncomingMessage): string | undefined {
  // The published types are of negotiator 0.6, which had no order of preference of the server's own.
  const negotiator = new Negotiator(request) as unknown as {
    encodings(available: readonly string[], options: { preferred: readonly string[] }): string[]
  }
  return negotiator.encodings(CODINGS, { preferred: CODINGS })[0]
}
