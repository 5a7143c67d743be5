// The yardstick of the answers to what has not changed: Fastify, one route, 304, and nothing else. A process of its own,
// as the service is. Prints its address; ends by a signal.

import Fastify from 'fastify'

const app = Fastify()
app.get('/v1/users/export', (_request, reply) => reply.code(304).send())
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
