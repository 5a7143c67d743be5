import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/**
 * Sends JSON text unchanged. PostgreSQL wrote it; parsing and serialising it again would change its numbers. Typed `never` because a
 * route's schema expects the value, not its text.
 */
export function sendJsonText(reply: Pick<FastifyReply, 'type'>, text: string): never {
  return reply.type('application/json; charset=utf-8').send(text) as never
}

/** Answers a HEAD request with the headers that are set. Sends an empty stream, because Fastify would add `Content-Length: 0`. */
export function sendWithoutBody(reply: FastifyReply): FastifyReply {
  return reply.send(Readable.from([]))
}
