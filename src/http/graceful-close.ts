import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import plugin from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Closes the app such that a client need not lose a request by it. For `milliseconds` all goes on, so that those who look
     * at the health send elsewhere. Then the port is closed, and for `milliseconds` again a request is still served on each
     * connection that is there, its answer saying `Connection: close` (RFC 9112 section 9.6). Only then those are hung up on
     * that were idle all the time: a request could be on its way on one that was in use just now. Resolves when all answers are out.
     */
    closeGently(milliseconds: number): Promise<void>
  }
  interface FastifyReply {
    /** Whether it is to be the last answer on its connection. */
    isLast: boolean
  }
}

/**
 * How long a connection is kept whose last answer began before the port was closed, and so could not say that it was the last.
 * Without a bound the close would wait for its client to hang up.
 */
const KEEP_ALIVE_AT_THE_END_MS = 1_000

export const closeGently = plugin(
  (app: FastifyInstance, _options, done) => {
    const { server } = app
    let isLast = false
    // Opened ahead, as browsers and balancers do, and never used. Node's `closeIdleConnections` passes them by, and each kept the
    // stop waiting for all of `DRAIN_SECONDS`.
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
    app.decorate('closeGently', async (milliseconds: number) => {
      if (server.listening) {
        await sleep(milliseconds)
        isLast = true
        const closed = once(server, 'close')
        Server.prototype.close.call(server) // that of http hangs up on idle connections as well
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
  { name: 'close-gently' },
)
