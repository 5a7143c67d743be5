import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { Problem } from '../errors.ts'

/**
 * Refuses what Node's parser lets pass: HTTP/0.9, and in HTTP/1.1 no `Host` or several, of which a proxy might go by another
 * than we do (RFC 9112 section 3.2). Node's own check, `requireHostHeader`, must be off: it answers without a body.
 */
export const requestHead = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', ({ raw }, reply, next) => {
      const isHostClear = raw.httpVersion === '1.0' || raw.headersDistinct.host?.length === 1
      if (isHostClear) return next()
      reply.header('connection', 'close')
      next(new Problem('invalid_request', 'Send HTTP/1.1 with one Host header.'))
    })
    done()
  },
  { name: 'request-head' },
)
