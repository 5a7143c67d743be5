import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'
import { isProbe } from './is-probe.ts'

/**
 * One line a request, when it has ended; without its query, which may name users. Those that come every few seconds and find
 * nothing new, probes and unchanged exports, are logged at debug; the metrics count them.
 */
export const requestLog = plugin(
  (app: FastifyInstance, _options, done) => {
    app.addHook('onResponse', (request, reply, next) => {
      const { log, method } = request
      const { statusCode: status, elapsedTime } = reply
      const level = status === 304 || isProbe(request) ? 'debug' : 'info'
      log[level]({ method, route: request.routeOptions.url, status, ms: Math.round(elapsedTime) }, 'request')
      next()
    })
    done()
  },
  { name: 'request-log' },
)
