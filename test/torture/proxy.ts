import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Manner } from './events.ts'

/** A proxy in front of a server that can disturb its clients. */
export interface Way {
  port: number
  /**
   * `delay`: data arrive late. `cut`: all connections are closed, and new ones are served. `swallow`: connections are
   * accepted and nothing is forwarded. `refuse`: all connections are closed, and nothing listens.
   */
  disturb(manner: Manner): Promise<void>
  /** Forwards everything again, including what was swallowed. */
  restore(): Promise<void>
  close(): Promise<void>
}

const DELAY_MS = 120

export async function startProxy(serverPort: number): Promise<Way> {
  const pairs = new Set<[Socket, Socket]>()
  let manner: Manner | undefined

  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    const pair: [Socket, Socket] = [client, upstream]
    pairs.add(pair)
    for (const socket of pair)
      socket
        .setNoDelay(true)
        .on('error', () => {})
        .on('close', () => end(pair))
    forward(client, upstream)
    forward(upstream, client)
    if (manner === 'swallow') hold(pair)
  })

  /** Keeps the order of data: all of a connection are delayed equally. */
  function forward(from: Socket, to: Socket): void {
    from.on('data', (piece) => {
      const send = () => {
        if (to.writable && !to.write(piece) && manner !== 'swallow') {
          from.pause()
          to.once('drain', () => manner !== 'swallow' && from.resume())
        }
      }
      if (manner === 'delay') setTimeout(send, DELAY_MS)
      else send()
    })
    from.on('end', () => setTimeout(() => to.end(), manner === 'delay' ? DELAY_MS : 0))
  }

  function end(pair: [Socket, Socket]): void {
    pairs.delete(pair)
    for (const socket of pair) socket.destroy()
  }

  const hold = (pair: [Socket, Socket]) => {
    for (const socket of pair) socket.pause()
  }
  const endAll = () => {
    for (const pair of pairs) end(pair)
  }
  const listen = (port: number) => new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  const stopListening = async () => {
    if (!server.listening) return
    const closed = new Promise((resolve) => void server.close(resolve))
    endAll()
    await closed
  }

  await listen(0)
  const { port } = server.address() as AddressInfo
  return {
    port,
    async disturb(next) {
      manner = next
      if (next === 'cut') endAll()
      if (next === 'refuse') await stopListening()
      if (next === 'swallow') for (const pair of pairs) hold(pair)
    },
    async restore() {
      manner = undefined
      if (!server.listening) await listen(port)
      for (const pair of pairs) for (const socket of pair) socket.resume()
    },
    close: stopListening,
  }
}
