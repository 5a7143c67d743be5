import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'

/** Whether it asks for health or metrics: orchestrators and Prometheus do so every few seconds. */
export const isProbe = ({ routeOptions }: FastifyRequest): boolean =>
  /^\/(livez|readyz|healthz|metrics)$/.test(routeOptions.url ?? '')

/**
 * Ids of requests that no other process gives: a part that is the process's own, and a count. A UUID for each was 5 % of our
 * code in a 304.
 */
export function createRequestIds(): () => string {
  const own = randomUUID().slice(0, 13)
  let requests = 0
  return () => `${own}-${++requests}`
}

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
