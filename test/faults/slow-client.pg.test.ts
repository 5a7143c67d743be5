import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Clients that send or read too slowly, or not at all, are disconnected and do not affect others. The limits are
 * Node's, shortened here.
 */

const { call, app, url, sql } = await startService(t, { MAX_WORKERS: '1' })
const { server } = app
const port = Number(new URL(url).port)
/** Node checks for slow clients at this interval: see `connectionsCheckingInterval` in src/app.ts. */
const CHECK_INTERVAL_MS = 5_000

const opened: Socket[] = []
t.teardown(() => {
  for (const socket of opened) socket.destroy()
})

/** An open connection, and what it has received. */
async function open(): Promise<{ socket: Socket; received: () => string; isClosed: () => boolean }> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  opened.push(socket)
  let received = ''
  let closed = false
  socket.on('data', (bytes) => (received += bytes)).on('close', () => (closed = true))
  await once(socket, 'connect')
  return { socket, received: () => received, isClosed: () => closed }
}

const connections = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)))

async function until(condition: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(20)) if (await condition()) return true
  return false
}

const SILENT = sized(300, 1_000)

t.test(`${SILENT} silent connections do not affect other clients`, async (t) => {
  t.match(server, { headersTimeout: 60_000, timeout: 330_000 }, 'the timeouts for headers and for readers')
  const silent = await Promise.all(Array.from({ length: SILENT }, open))
  t.match(await call('GET', '/livez'), { status: 200 })
  for (const { socket } of silent) socket.destroy()
  t.ok(await until(async () => (await connections()) <= 2, 10_000), 'their connections are closed')
})

t.test('a request whose headers arrive too slowly, or not at all, gets 408', async (t) => {
  const before = server.headersTimeout
  server.headersTimeout = 500
  t.teardown(() => {
    server.headersTimeout = before
  })
  const [slow, silent] = [await open(), await open()]
  slow.socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ')
  const began = Date.now()
  const isOver = () => slow.isClosed() && silent.isClosed()
  for (; !isOver() && Date.now() - began < 2 * CHECK_INTERVAL_MS; await sleep(100))
    if (slow.socket.writable) slow.socket.write('y')
  t.ok(isOver(), `closed after ${Date.now() - began} ms`)
  t.match(slow.received(), /^HTTP\/1\.1 408 .*connection: close.*"code":"request_timeout"/s)
})

t.test('a client that reads nothing is disconnected, and its snapshot released', async (t) => {
  await sql`
    insert into users (username, email, custom_attributes)
    select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('text', repeat(md5(n::text), 2500))
    from generate_series(1, 200) n`
  const before = server.timeout
  server.timeout = 2_000 // for connections opened from now on
  const { socket } = await open()
  server.timeout = before
  socket.pause()
  socket.write('GET /v1/users/export?format=ndjson&include=password HTTP/1.1\r\nhost: localhost\r\n\r\n')
  const openSnapshots = async () => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and application_name = 'usersync' and xact_start is not null`
    return row?.count ?? 0
  }
  t.ok(await until(async () => (await openSnapshots()) === 1, 10_000), 'the snapshot waits for the reader')
  t.ok(await until(async () => (await openSnapshots()) === 0, 10_000), 'and is released')
  t.ok(await until(async () => (await connections()) <= 1, 10_000), 'the connection is closed')
})
