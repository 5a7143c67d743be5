import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A proxy between a service and its database. It can cut the connections, go silent and leave them open, or lead elsewhere. */
export async function startProxy(t: Test, port: number) {
  const sockets = new Set<Socket>()
  let isSilent = false
  let databasePort = port
  const server = createServer((client) => {
    const database = connect(databasePort, '127.0.0.1')
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
  /** Cuts the connections, and leads to another server from now on. */
  const redirect = async (port: number) => {
    databasePort = port
    await cut()
    await listen(proxyPort)
  }
  return { port: proxyPort, cut, silence, redirect, restore: () => listen(proxyPort) }
}
