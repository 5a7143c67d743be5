import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { answerAsLast } from './error-responses.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route reads its body as a stream and enforces its own upload timeouts. */
    readsBody?: true
  }
}

/** Whether a request with these headers has a body. A Content-Length of 0 counts as none (RFC 9112 section 6.3). */
export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Whether a part of the request body is still to arrive. */
export function bodyIsComing({ headers, complete, destroyed }: IncomingMessage): boolean {
  return !complete && !destroyed && hasBody(headers)
}

/**
 * Cuts off a request whose body has not arrived `milliseconds` after its head (408 `request_timeout`). Node's own limit, the
 * server's `requestTimeout`, applies to all routes and would end a large import over a slow line.
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
