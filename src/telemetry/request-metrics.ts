import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import plugin from 'fastify-plugin'
import type { Metrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Bytes of the body without content coding, if known. */
    plainBytes: number | undefined
  }
}

/** Reports each request to the metrics when it ends, and the bytes of responses that were cut off, which never end. */
export const requestMetrics = plugin<{ metrics: Metrics }>(
  (app: FastifyInstance, { metrics }, done) => {
    app.decorateReply('plainBytes')
    // Runs before compression, which is registered later.
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

/** Bounds the number of routes and methods in labels: all unknown ones count as one. */
function routeOf({ method, routeOptions }: FastifyRequest, { statusCode }: FastifyReply) {
  if (routeOptions.url === undefined || statusCode === 405) return { method: 'other', route: 'unmatched' }
  return { method, route: routeOptions.url }
}

/** A minimum, since the wire bytes include headers. Undefined if the plain length is unknown. */
function savedBytes({ plainBytes }: FastifyReply, wireBytes: number): number | undefined {
  return plainBytes === undefined ? undefined : Math.max(0, plainBytes - wireBytes)
}

const counted = new WeakMap<Socket, number>()

/** Responses on a connection are sequential, so everything written since the last one belongs to this one. */
function bytesSinceLast(socket: Socket): number {
  const written = socket.bytesWritten
  const bytes = written - (counted.get(socket) ?? 0)
  counted.set(socket, written)
  return bytes > 0 ? bytes : 0
}
