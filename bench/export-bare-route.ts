// The yardstick for unchanged responses and for the copies of a body: Fastify with a route that answers 304, and one that sends as many
// bytes as its path says, from memory. A separate process, like the service. Prints its URL and exits on a signal.

import { Readable } from 'node:stream'
import Fastify from 'fastify'

/** As large as the pieces in which the service sends an export. */
const PIECE = Buffer.alloc(65_536, '.')

function* pieces(bytes: number) {
  for (let left = bytes; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left)
}

const app = Fastify()
app.get('/v1/users/export', (_request, reply) => reply.code(304).send())
app.get<{ Params: { bytes: string } }>('/bytes/:bytes', ({ params }, reply) =>
  reply.send(Readable.from(pieces(Number(params.bytes)), { objectMode: false, highWaterMark: PIECE.length })),
)
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
