import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { Metrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Bytes of the body as it is without a content coding, where that is known. */
    plainBytes: number | undefined
  }
}

/** Tells the metrics of each request when it has ended, and what was written of answers that were cut off: those end nowhere. */
export const requestMetrics = plugin<{ metrics: Metrics }>(
  (app: FastifyInstance, { metrics }, done) => {
    app.decorateReply('plainBytes')
    // Before compression, which is registered later.
    app.addHook('onSend', (_request, reply, payload, next) => {
      if (typeof payload === 'string' && payload !== '') reply.plainBytes = Buffer.byteLength(payload)
      next(null, payload)
    })
    app.addHook('onResponse', (request, reply, next) => {
      const coding = String(reply.getHeader('content-encoding') ?? 'identity')
      const wireBytes = bytesSinceLast(request.raw.socket)
      metrics.answered({
        ...routeOf(request, reply),
        status: reply.statusCode,
        seconds: reply.elapsedTime / 1000,
        coding,
        wireBytes,
        savedBytes: coding === 'identity' ? undefined : savedBytes(reply, wireBytes),
      })
      next()
    })
    app.server.on('connection', (socket) => {
      socket.once('close', () => metrics.cutOff(bytesSinceLast(socket)))
    })
    done()
  },
  { name: 'request-metrics' },
)

/** Routes and methods are as many as there are, whatever is asked for: all else is one. */
function routeOf({ method, routeOptions }: FastifyRequest, { statusCode }: FastifyReply) {
  if (routeOptions.url === undefined || statusCode === 405) return { method: 'other', route: 'unmatched' }
  return { method, route: routeOptions.url }
}

/** At least: the head is among the bytes of the wire. Undefined where the plain length is not known. */
function savedBytes({ plainBytes }: FastifyReply, wireBytes: number): number | undefined {
  return plainBytes === undefined ? undefined : Math.max(0, plainBytes - wireBytes)
}

const counted = new WeakMap<Socket, number>()

/** Answers of a connection follow one another, so what was written since the last one is this one. */
function bytesSinceLast(socket: Socket): number {
  const written = socket.bytesWritten
  const bytes = written - (counted.get(socket) ?? 0)
  counted.set(socket, written)
  return bytes > 0 ? bytes : 0
}
