import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Graceful shutdown in three phases, so that clients lose no request. 1. Keep serving for `milliseconds`, while /readyz says
     * 503, so that load balancers drain us. 2. Close the port. For `milliseconds` again, serve one more request per open
     * connection, with `Connection: close` (RFC 9112 section 9.6). 3. Drop connections that stayed idle; a request may still be
     * on its way on one that was in use just now. Resolves when all responses are sent.
     */
    gracefulClose(milliseconds: number): Promise<void>
  }
  interface FastifyReply {
    /** Whether this is the last response on its connection. */
    isLast: boolean
  }
}

/**
 * Keep-alive timeout of connections whose last response began before the port closed, and so could not send `Connection: close`.
 * Without it, shutdown would wait until these clients disconnect.
 */
const KEEP_ALIVE_AT_THE_END_MS = 1_000

export const gracefulClose = plugin(
  (app: FastifyInstance, _options, done) => {
    const { server } = app
    let isLast = false
    // Connections that browsers and load balancers open ahead and never use. Node's `closeIdleConnections` skips them, so each one
    // delayed shutdown for all of `DRAIN_SECONDS`.
    const unused = new Set<Socket>()
    server.on('connection', (socket: Socket) => {
      unused.add(socket)
      socket.once('close', () => unused.delete(socket))
    })
    server.on('request', ({ socket }: IncomingMessage) => unused.delete(socket))
    app.addHook('onSend', (_request, reply, payload, next) => {
      if (reply.isLast) reply.header('connection', 'close')
      next(null, payload)
    })
    app.decorateReply('isLast', { getter: () => isLast })
    app.decorate('gracefulClose', async (milliseconds: number) => {
      if (server.listening) {
        await sleep(milliseconds)
        isLast = true
        const closed = once(server, 'close')
        Server.prototype.close.call(server) // http's own close also drops idle connections
        await Promise.race([closed, sleep(milliseconds)])
        server.keepAliveTimeout = KEEP_ALIVE_AT_THE_END_MS
        server.closeIdleConnections()
        for (const socket of unused) socket.destroy()
        await closed
      }
      await app.close()
    })
    done()
  },
  { name: 'graceful-close' },
)
