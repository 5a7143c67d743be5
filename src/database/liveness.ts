import type { Socket } from 'node:net'

/** How long a connection may be silent while a response is due, before the server is probed. The probe may take as long again. */
const SILENCE_MS = 3_000

/** PostgreSQL's `SSLRequest`. Every server answers it with one byte, even if it is full or still starting. */
const IS_ANYBODY_THERE = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** Watches a connection. `awaitsReply` returns whether a response is due; `openProbe` opens a socket to the same server. */
export type Watch = (socket: Socket, awaitsReply: () => boolean, openProbe: () => Socket) => void

/**
 * Closes connections on which no response will ever arrive. A server that hangs, or a network that drops packets,
 * causes no error: a request would wait for the TCP timeout, a quarter of an hour or more. Silence alone may also be a
 * slow statement. So the server is probed on a new connection, which costs it a millisecond and no connection slot. A
 * server that answers the probe may still have lost this connection, so it is closed after `statementTimeoutMs`
 * milliseconds.
 */
export function watchLiveness(statementTimeoutMs: number, silenceMs = SILENCE_MS): Watch {
  let asking: Promise<boolean> | undefined
  return (socket, awaitsReply, openProbe) => {
    let read = 0
    let silent = 0
    socket.setTimeout(silenceMs).on('timeout', async () => {
      silent = socket.bytesRead === read ? silent + silenceMs : silenceMs
      read = socket.bytesRead
      if (!awaitsReply()) return // the next write restarts the timer
      asking ??= answers(openProbe(), silenceMs).finally(() => {
        asking = undefined
      })
      const isThere = await asking
      if (socket.destroyed) return
      if (socket.bytesRead !== read || (isThere && silent <= statementTimeoutMs)) socket.setTimeout(silenceMs)
      else socket.destroy(Object.assign(new Error('the database server is silent'), { code: 'ETIMEDOUT' }))
    })
  }
}

function answers(socket: Socket, withinMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.setTimeout(withinMs)
  socket.once('data', () => resolve(true))
  for (const end of ['timeout', 'error', 'close']) socket.once(end, () => resolve(false))
  socket.write(IS_ANYBODY_THERE)
  return promise.finally(() => socket.destroy())
}
