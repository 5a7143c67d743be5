import { finished, Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

/**
 * Resets the connection if the body of a response to HTTP/1.0 is cut. The end of the connection is the end of such a body (RFC 9112
 * section 6.3): a client would take half a CSV file for all of it, and a cache would store it. nginx 1.22 sends HTTP/1.0 unless
 * `proxy_http_version` is set. To HTTP/1.1 the missing last chunk says that the body is cut.
 */
export const cutBodies = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onSend', ({ raw }, reply, payload, next) => {
      if (raw.httpVersion === '1.0' && payload instanceof Readable) {
        finished(payload, { writable: false }, (error) => {
          if (error && reply.raw.headersSent) raw.socket.resetAndDestroy()
        })
      }
      next(null, payload)
    })
    done()
  },
  { name: 'cut-bodies' },
)
