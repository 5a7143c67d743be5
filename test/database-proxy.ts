import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A proxy between a service and its database. It can cut the connections, or go silent and leave them open. */
export async function startProxy(t: Test, port: number) {
  const sockets = new Set<Socket>()
  let isSilent = false
  const server = createServer((client) => {
    const database = connect(port, '127.0.0.1')
    for (const socket of [client, database]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          client.destroy()
          database.destroy()
        })
    }
    if (!isSilent) client.pipe(database).pipe(client)
  })
  const listen = (port: number) => new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const proxyPort = (server.address() as AddressInfo).port
  const cut = () => {
    isSilent = false
    const closed = new Promise((resolve) => void server.close(resolve))
    for (const socket of sockets) socket.destroy()
    return closed
  }
  t.teardown(async () => {
    if (server.listening) await cut()
  })
  const silence = () => {
    isSilent = true
    for (const socket of sockets) socket.unpipe().pause()
  }
  return { port: proxyPort, cut, silence, restore: () => listen(proxyPort) }
}
