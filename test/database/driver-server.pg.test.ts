import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startProxy } from '../faults/proxy.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Servers that reset, close or refuse connections, and impostors (patches/postgres+3.4.9.patch). */

/** PostgreSQL may reset a connection on which it has not read all. */
const LOST = { code: /^(CONNECTION_CLOSED|ECONNRESET|EPIPE|57P01)$/ }

const open = (url: string, connections: number) => connect({ url, schema: 'usersync', connections, name: 'test' })

/** Starts a server in front of a database. `serve` gets each client, and a function that connects to the database for it. */
async function startServer(t: Test, serve: (client: Socket, database: () => Socket) => void): Promise<string> {
  const url = new URL(await testDatabase())
  const databasePort = Number(url.port)
  const server = createServer((client) => {
    client.on('error', () => {})
    serve(client, () => {
      const database = connectSocket(databasePort, '127.0.0.1').on('error', () => {})
      client.on('close', () => database.destroy())
      return database
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  url.port = String((server.address() as AddressInfo).port)
  return url.href
}

t.test('a query that follows a connection reset at once fails too', async (t) => {
  let client: Socket | undefined
  const url = await startServer(t, (socket, database) => {
    client = socket
    socket.pipe(database()).pipe(socket)
  })
  const sql = open(url, 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  const session = await sql.reserve()
  const first = session`select pg_sleep(5)`.execute()
  await sleep(100)
  client?.resetAndDestroy()
  await t.rejects(first, LOST)
  await t.rejects(session`rollback`, LOST)
  session.release()
  t.same(await sql`select 1 as n`, [{ n: 1 }])
})

t.test('a server that closes each connection at once is an error, and is not asked in a loop', async (t) => {
  const proxy = await startProxy(t, await testDatabase())
  proxy.hangUp()
  const sql = open(proxy.url, 1)
  t.teardown(() => sql.end({ timeout: 0 }))
  await t.rejects(sql`select 1`, LOST)
  await t.rejects(sql.reserve(), LOST)
  t.ok(proxy.accepted() <= 4, `${proxy.accepted()} connections`)
})

t.test('a connection that cannot be opened fails no query that another connection can serve', async (t) => {
  let connections = 0
  const url = await startServer(t, (socket, database) => {
    if (connections++ === 0) socket.pipe(database()).pipe(socket)
    else socket.destroy()
  })
  const sql = open(url, 2)
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`select 1`
  const slow = sql`select pg_sleep(0.5)`.execute()
  t.same(await sql`select 1 as n`, [{ n: 1 }])
  await slow
  t.ok(connections > 1, 'another connection was tried')
})

t.test('a connection that is opening takes the next query, and another one opens if that takes too long', async (t) => {
  let connections = 0
  const url = await startServer(t, (socket, database) => {
    if (connections++ !== 1) socket.pipe(database()).pipe(socket) // the second one never opens
  })
  const sql = open(url, 9)
  t.teardown(() => sql.end({ timeout: 0 }))
  let slow = 0
  for (let n = 0; n < 5; n++) {
    const begun = performance.now()
    await Promise.all([sql`select 1`, sql`select 2`])
    if (performance.now() - begun > 90) slow++ // on a busy machine the driver rightly gives up waiting
  }
  t.ok(connections <= 2 + slow, `${connections} connections, ${slow} slow rounds`)
  const session = await sql.reserve()
  t.same(await sql`select 1 as n`, [{ n: 1 }], 'by a third connection')
  session.release()
})

t.test('a connection that is lost while the driver begins the session is replaced', async (t) => {
  let lost = 0
  const url = await startServer(t, (client, database) => {
    const way = database()
    way.pipe(client)
    client.on('data', (sent) => {
      if (lost > 0 || !sent.includes('transaction_timeout')) return void way.write(sent)
      lost++
      client.end(fatal('57P01'))
    })
  })
  const sql = open(url, 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  t.same(await sql`select 1 as n`, [{ n: 1 }], 'by the next connection, without the error of the lost one')
  t.equal(lost, 1)
})

t.test('a server proves that it knows the password on every connection', async (t) => {
  let client: Socket | undefined
  let connections = 0
  const url = await startServer(t, (socket, database) => {
    client = socket
    if (connections++ === 0) socket.pipe(database()).pipe(socket)
    else socket.on('data', () => socket.write(Buffer.from('R\0\0\0\x08\0\0\0\0')))
  })
  const sql = open(`${url}?require_auth=scram-sha-256`, 1)
  t.teardown(() => sql.end({ timeout: 0 }))
  t.same(await sql`select 1 as n`, [{ n: 1 }])
  client?.destroy()
  await sleep(50)
  await t.rejects(sql`select 1`, { code: 'CONNECTION_AUTHENTICATION_REFUSED' })
})

/** The message with which PostgreSQL ends a connection. */
function fatal(code: string): Buffer {
  const fields = Buffer.from(`SFATAL\0C${code}\0Mterminating connection\0\0`)
  const head = Buffer.from('E\0\0\0\0')
  head.writeUInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}
