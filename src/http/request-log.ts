import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { isProbe } from './is-probe.ts'

/** One line a request, when it has ended; without its query, which may name users. Probes are logged at debug. */
export const requestLog = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onResponse', (request, reply, next) => {
      const { method, routeOptions } = request
      const line = { method, route: routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) }
      if (isProbe(request)) request.log.debug(line, 'request')
      else request.log.info(line, 'request')
      next()
    })
    done()
  },
  { name: 'request-log' },
)
