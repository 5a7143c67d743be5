import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

/** Keeps browsers from reading an answer as another type than it says, and from showing a page inside of another one. */
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
