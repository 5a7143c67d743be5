// The yardstick for unchanged responses: Fastify with one route that answers 304. A separate process, like the service.
// Prints its URL and exits on a signal.

import Fastify from 'fastify'

const app = Fastify()
app.get('/v1/users/export', (_request, reply) => reply.code(304).send())
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
