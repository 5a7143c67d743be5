import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

/**
 * Passes over an `Expect` that is not `100-continue`, as RFC 9110 section 10.1.1 lets us: Node would answer 417 by itself,
 * without a body, and without a line in the log.
 */
export const expectations = plugin(
  (app: FastifyInstance, _options, done) => {
    app.server.on('checkExpectation', (request, response) => app.routing(request, response))
    done()
  },
  { name: 'expectations' },
)
