import type { Socket } from 'node:net'

/** Nothing has come for so long, and an answer is due: then the server is asked whether it is there. */
const SILENCE_MS = 3_000

/** How long it may take to say so. */
const ANSWER_MS = 3_000

/** PostgreSQL's `SSLRequest`, which any server answers with one byte, also one that is full or has just been started. */
const IS_ANYBODY_THERE = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/** Watches a connection: `isDue` tells whether an answer is awaited on it, `another` opens a socket to the same server. */
export type Watch = (socket: Socket, isDue: () => boolean, another: () => Socket) => void

/**
 * Ends connections on which an answer will never come. A server that hangs or a network that drops packets gives no error:
 * without this a request would wait for as long as TCP does, a quarter of an hour and more. Silence alone does not tell it
 * from a statement that takes its time; so the server is asked on a new connection, which costs it a millisecond and none
 * of its places. One that answers there may still have lost this connection; after `longestStatement` milliseconds nothing
 * is awaited from it any more.
 */
export function watchSilence(longestStatement: number): Watch {
  let asking: Promise<boolean> | undefined
  return (socket, isDue, another) => {
    let read = 0
    let silent = 0
    socket.setTimeout(SILENCE_MS).on('timeout', async () => {
      silent = socket.bytesRead === read ? silent + SILENCE_MS : SILENCE_MS
      read = socket.bytesRead
      if (!isDue()) return // the next that is sent winds the clock up again
      asking ??= answers(another()).finally(() => {
        asking = undefined
      })
      const isThere = await asking
      if (socket.destroyed) return
      if (socket.bytesRead !== read || (isThere && silent <= longestStatement)) socket.setTimeout(SILENCE_MS)
      else socket.destroy(Object.assign(new Error('the database server is silent'), { code: 'ETIMEDOUT' }))
    })
  }
}

function answers(socket: Socket): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.setTimeout(ANSWER_MS)
  socket.once('data', () => resolve(true))
  for (const end of ['timeout', 'error', 'close']) socket.once(end, () => resolve(false))
  socket.write(IS_ANYBODY_THERE)
  return promise.finally(() => socket.destroy())
}
