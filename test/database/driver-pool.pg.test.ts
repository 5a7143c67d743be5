import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres, { type Row, type Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startProxy } from '../faults/proxy.ts'
import { suite } from '../suite.ts'

const t = suite()
t.setTimeout(30_000)

/* What patches/postgres+3.4.9.patch promises of the queue for connections, and of connections that are lost while they open. */

/** PostgreSQL may reset a connection on which it has not read all. */
const LOST = { code: /^(CONNECTION_CLOSED|ECONNRESET|EPIPE|57P01)$/ }

const pidOf = async (on: Pick<Sql, 'unsafe'>) =>
  (await on.unsafe('select pg_backend_pid() as pid'))[0]?.['pid'] as number

const open = (url: string, connections: number, waitMs = 5_000) =>
  connect({ url, schema: 'usersync', connections, name: 'test', waitMs })

t.test('a query waits for a free connection, for a limited time, and never behind another query', async (t) => {
  const sql = open(await testDatabase(t), 1, 300)
  t.teardown(() => sql.end({ timeout: 1 }))
  // The first one opens the connection, and all wait until it is open.
  const slow = sql`select pg_sleep(1)`.execute()
  const [, ...behind] = await Promise.allSettled([slow, sql`select 1`, sql`select 2`])
  const timeout = { status: 'rejected', reason: { code: 'CONNECTION_WAIT_TIMEOUT' } }
  t.match(behind, [timeout, timeout], 'while the connection opens')
  for (const it of behind) t.ok(it.status === 'rejected' && postgres.isConnectionError(it.reason))
  const again = sql`select pg_sleep(1)`.execute()
  await t.rejects(sql`select 1`, { code: 'CONNECTION_WAIT_TIMEOUT' }, 'while the connection is busy')
  await again
  t.same(await sql`select 1 as n`, [{ n: 1 }])
})

t.test('a thousand queries wait, and the next one fails at once', async (t) => {
  const sql = open(await testDatabase(t), 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  const session = await sql.reserve()
  const waiting = Array.from({ length: 1_000 }, () => sql`select`.execute())
  await t.rejects(sql`select`, { code: 'CONNECTION_QUEUE_FULL' })
  session.release()
  t.equal((await Promise.all(waiting)).length, 1_000)
  const timers = process.getActiveResourcesInfo().filter((type) => type === 'Timeout')
  t.ok(timers.length < 100, `${timers.length} timers: those of the queries are cleared`)
})

t.test('a session that waits for a connection which is lost gets the next one', async (t) => {
  const url = await testDatabase(t)
  const [sql, killer] = [open(url, 1), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const first = await sql.reserve()
  const waiting = sql.reserve()
  await killer`select pg_terminate_backend(${await pidOf(first)})`
  const second = await waiting
  t.same(await second`select 1 as n`, [{ n: 1 }])
  second.release()
  first.release()
  t.same(await sql`select 1 as n`, [{ n: 1 }], 'the lost session gives no connection back')
})

t.test('queries that wait inside a lost session or transaction fail too', async (t) => {
  const url = await testDatabase(t)
  const [sql, killer] = [open(url, 2), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const kill = (pid: number) => killer`select pg_terminate_backend(${pid})`
  // A statement with a new parameter list is described first. Meanwhile others wait in the driver.
  const both = (on: Sql | Pick<Sql, 'unsafe'>) => [
    on.unsafe('select pg_sleep(5), $1::int', [1], { prepare: true }),
    on.unsafe('select 1'),
  ]
  const failed = [
    { status: 'rejected', reason: LOST },
    { status: 'rejected', reason: LOST },
  ]

  const session = await sql.reserve()
  const pid = await pidOf(session)
  const inSession = Promise.allSettled(both(session))
  await kill(pid)
  t.match(await inSession, failed)
  session.release()

  let inTransaction: Promise<unknown> | undefined
  const transaction = sql.begin(async (tx) => {
    const pid = await pidOf(tx)
    inTransaction = Promise.allSettled(both(tx))
    await kill(pid)
    await inTransaction
  })
  await t.rejects(transaction, LOST)
  t.match(await inTransaction, failed)
})

t.test('a cursor whose connection is lost between two pages is an error', async (t) => {
  const url = await testDatabase(t)
  const [sql, killer] = [open(url, 1), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const pages = () => sql`select pg_backend_pid() as pid from generate_series(1, 10)`.cursor(1)
  const lose = async ([row]: Row[]) => {
    await killer`select pg_terminate_backend(${row?.['pid']})`
    await sleep(50)
  }
  const readAll = async () => {
    for await (const page of pages()) await lose(page)
  }
  await t.rejects(readAll(), LOST, 'with the next page')
  for await (const page of pages()) {
    await lose(page)
    break // also ends the cursor
  }
  t.same(await sql`select 1 as n`, [{ n: 1 }])
})

t.test('a server that closes each connection at once is an error, and is not asked in a loop', async (t) => {
  const proxy = await startProxy(t, await testDatabase(t))
  proxy.hangUp()
  const sql = open(proxy.url, 1)
  t.teardown(() => sql.end({ timeout: 0 }))
  await t.rejects(sql`select 1`, LOST)
  await t.rejects(sql.reserve(), LOST)
  t.ok(proxy.accepted() <= 4, `${proxy.accepted()} connections`)
})

t.test('a connection that cannot be opened fails no query that another connection can serve', async (t) => {
  const url = new URL(await testDatabase(t))
  const databasePort = Number(url.port)
  let connections = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (connections++ === 0) socket.pipe(connectSocket(databasePort, '127.0.0.1')).pipe(socket)
    else socket.destroy()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  url.port = String((server.address() as { port: number }).port)
  const sql = open(url.href, 2)
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`select 1`
  const slow = sql`select pg_sleep(0.5)`.execute()
  t.same(await sql`select 1 as n`, [{ n: 1 }])
  await slow
  t.ok(connections > 1, 'another connection was tried')
})

t.test('a connection that is lost while the driver reads the types is replaced', async (t) => {
  const url = new URL(await testDatabase(t))
  const databasePort = Number(url.port)
  let lost = 0
  const server = createServer((client) => {
    const database = connectSocket(databasePort, '127.0.0.1').on('error', () => {})
    client.on('error', () => {}).on('close', () => database.destroy())
    database.pipe(client)
    client.on('data', (sent) => {
      if (lost > 0 || !sent.includes('typarray')) return void database.write(sent)
      lost++
      client.end(fatal('57P01'))
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  url.port = String((server.address() as { port: number }).port)
  const sql = open(url.href, 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  t.same(await sql`select 1 as n`, [{ n: 1 }], 'by the next connection, without the error of the lost one')
  t.equal(lost, 1)
})

t.test('a server proves that it knows the password on every connection', async (t) => {
  const url = new URL(await testDatabase(t))
  const databasePort = Number(url.port)
  url.search = 'require_auth=scram-sha-256'
  let client: Socket | undefined
  let connections = 0
  const server = createServer((socket) => {
    client = socket.on('error', () => {})
    if (connections++ === 0) socket.pipe(connectSocket(databasePort, '127.0.0.1')).pipe(socket)
    else socket.on('data', () => socket.write(Buffer.from('R\0\0\0\x08\0\0\0\0')))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  url.port = String((server.address() as { port: number }).port)
  const sql = open(url.href, 1)
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
