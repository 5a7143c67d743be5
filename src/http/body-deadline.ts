import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { answerAsLast } from './error-responses.ts'

/** Whether a request of these headers has a body, of a byte at least where it says its length (RFC 9112 section 6.3). */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Whether a part of the request's body has not arrived yet, and may still do. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed && hasBody(headers)
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route reads its body by itself, piece by piece, and cuts a slow sender off by itself. */
    readsBody?: true
  }
}

/**
 * Cuts off a request whose body is not there `milliseconds` after its head (408 `request_timeout`). Node's own limit, the
 * server's `requestTimeout`, is one for all routes, and would end a large import over a slow line in the middle.
 */
export const bodyDeadline = plugin<{ milliseconds: number }>(
  (app: FastifyInstance, { milliseconds }, done) => {
    app.addHook('onRequest', (request, reply, next) => {
      if (!bodyIsComing(request.raw) || request.routeOptions.config.readsBody) return next()
      const timer = setTimeout(() => {
        if (!bodyIsComing(request.raw)) return
        answerAsLast(request.raw.socket, 'ERR_HTTP_REQUEST_TIMEOUT', request.method === 'HEAD')
      }, milliseconds)
      reply.raw.once('close', () => clearTimeout(timer))
      next()
    })
    done()
  },
  { name: 'body-deadline' },
)
