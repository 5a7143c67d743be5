import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Export } from './exports.ts'

/** A text of this size takes about a millisecond to compress on the main thread. A longer text is streamed. */
const SMALL_TEXT = 32_768

/** Sends the text or stream of an export. */
export function sendBody(reply: FastifyReply, { body }: Export) {
  if ('text' in body) {
    if (body.text.length < SMALL_TEXT) return reply.send(body.text)
    reply.plainBytes = Buffer.byteLength(body.text)
    return reply.send(Readable.from([body.text], { objectMode: false }))
  }
  if (body.encoded !== undefined && body.encoded !== 'identity') reply.header('content-encoding', body.encoded)
  if (body.bytes !== undefined) reply.header('content-length', body.bytes)
  return reply.send(body.stream)
}

/** Ends an export that is not sent. */
export function discardBody({ body }: Export) {
  if ('stream' in body) body.stream.destroy()
}
