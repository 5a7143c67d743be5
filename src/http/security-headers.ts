import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

/** Stops browsers from sniffing the content type and from showing a page in a frame. */
export const securityHeaders = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onRequest', (_request, reply, next) => {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('x-frame-options', 'DENY')
      next()
    })
    done()
  },
  { name: 'security-headers' },
)
