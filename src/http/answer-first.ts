import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { bodyIsComing } from './body-is-coming.ts'

/** A sender who has not looked up from sending by then does not read answers. */
const LINGER_MS = 5_000
const LINGER_BYTES = 67_108_864

/**
 * An `onSend` hook for answers given before the body was read to its end. To close at once would reset the connection, and
 * the reset may overtake the answer; to leave it open would let the sender go on for as long as it likes. So the answer goes
 * out whole, with its length, and what still comes is thrown away for a while; then the connection is closed.
 */
export function answerFirst(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: null, payload: unknown) => void,
): void {
  if (typeof payload !== 'string' || !bodyIsComing(request.raw)) {
    done(null, payload)
    return
  }
  reply.header('connection', 'close').header('content-length', Buffer.byteLength(payload))
  async function* answer() {
    yield payload
    await throwAway(request.raw)
  }
  done(null, Readable.from(answer(), { objectMode: false }))
}

/** Resolves when the request has ended, was cut off, or has gone on for too long. */
async function throwAway(raw: IncomingMessage): Promise<void> {
  const stop = new AbortController()
  const end = () => stop.abort()
  let bytes = 0
  raw.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > LINGER_BYTES) end()
  })
  raw.once('end', end).once('close', end).once('error', end).resume()
  await sleep(LINGER_MS, undefined, { signal: stop.signal }).catch(() => {})
}
