import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A proxy between a service and its database that can block it in several ways. */
export interface Proxy {
  /** The database's URL through the proxy. */
  url: string
  /** Accepts connections and data, but forwards nothing. */
  hold(): void
  /**
   * Closes all connections, and new ones immediately and without an error, as a load balancer without a server does.
   */
  hangUp(): void
  /** Closes all connections and stops listening. */
  refuse(): Promise<void>
  /** Forwards again, including the data held back. */
  pass(): Promise<void>
  /** The number of connections accepted so far. */
  accepted(): number
}

/** Starts a proxy to the database of this URL. It stops at the end of `t`. */
export async function startProxy(t: Test, databaseUrl: string): Promise<Proxy> {
  const url = new URL(databaseUrl)
  const databasePort = Number(url.port)
  const pairs = new Map<Socket, Socket>()
  let manner: 'pass' | 'hold' | 'hang up' = 'pass'
  let accepted = 0
  const server = createServer((client) => {
    accepted++
    client.on('error', () => {})
    if (manner === 'hang up') return void client.resume().end()
    const database = connect(databasePort, '127.0.0.1').on('error', () => {})
    pairs.set(client, database)
    for (const socket of [client, database]) socket.on('close', () => end(client))
    if (manner === 'pass') join(client, database)
  })
  const join = (client: Socket, database: Socket) => void client.pipe(database).pipe(client)
  const end = (client: Socket) => {
    client.destroy()
    pairs.get(client)?.destroy()
    pairs.delete(client)
  }
  const endAll = () => {
    for (const client of pairs.keys()) end(client)
  }
  const listen = (port: number) => new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = server.address() as AddressInfo
  url.port = String(port)
  const refuse = async () => {
    if (!server.listening) return
    const closed = new Promise((resolve) => void server.close(resolve))
    endAll()
    await closed
  }
  t.teardown(refuse)
  return {
    url: url.href,
    hold() {
      manner = 'hold'
      for (const [client, database] of pairs) for (const socket of [client, database]) socket.unpipe().pause()
    },
    hangUp() {
      manner = 'hang up'
      endAll()
    },
    refuse,
    async pass() {
      manner = 'pass'
      for (const [client, database] of pairs) join(client, database)
      if (!server.listening) await listen(port)
    },
    accepted: () => accepted,
  }
}
