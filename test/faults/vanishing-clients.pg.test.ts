import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { ROUTE_BODIES } from '../http/route-bodies.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { resourcesAtRest } from './open-resources.ts'

const t = suite()

/* Clients that disconnect at any point of any request, and responses that fail halfway. */

const USERS = 3_000

const service = await startService(t, { MAX_WORKERS: '1', WAIT_SECONDS: '2' })
const { sql, url, call } = service
const port = Number(new URL(url).port)

// 12 MB that hardly compress: more than the kernel buffers for a client that does not read.
await sql`
  insert into users (username, email, custom_attributes)
  select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('text', text)
  from generate_series(1, ${USERS}::int) n
  cross join lateral (select string_agg(md5((n * 1000 + part)::text), '') as text from generate_series(1, 125) part) texts`
await call('POST', '/v1/pools', { body: { name: 'replica' } })
await call('PATCH', '/v1/pools/replica', { body: { replica: true } })
await call('GET', '/v1/users/export') // opens what stays open

interface Documented {
  paths: Record<string, Record<string, { requestBody?: { content: Record<string, unknown> } }>>
}

/** The bytes of one request to each route, headers and body separately. */
async function everyRequest(): Promise<{ name: string; head: string; body: string }[]> {
  const { paths } = (await call<Documented>('GET', '/openapi.json')).json
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody }]) => {
      const [type = ''] = Object.keys(requestBody?.content ?? {})
      const body = type === '' ? '' : JSON.stringify(ROUTE_BODIES[path] ?? { role: 'x' })
      const target = path.replace('{id}', '01890000-0000-7000-8000-000000000001').replace('{name}', 'nobody')
      const length = type === '' ? '' : `content-type: ${type}\r\ncontent-length: ${body.length}\r\n`
      const head = `${method.toUpperCase()} ${target} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n${length}\r\n`
      return { name: `${method} ${path}`, head, body }
    }),
  )
}

/** Sends the bytes and resets the connection after `milliseconds`, or at the first byte of the response. */
async function vanish(bytes: string, milliseconds: number | 'first byte'): Promise<void> {
  const socket: Socket = connect(port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  socket.write(bytes)
  if (milliseconds === 'first byte') await Promise.race([once(socket, 'data'), sleep(2_000)])
  else await sleep(milliseconds)
  socket.resetAndDestroy()
}

t.test('a client that disconnects at any point of any request leaves nothing behind', async (t) => {
  const requests = (await everyRequest()).filter(({ name }) => name !== 'delete /v1/pools/{name}')
  t.ok(requests.length > 40)
  const before = await resourcesAtRest(service, ({ openTransactions }) => openTransactions === 0)
  for (const { head, body } of requests) {
    await Promise.all([
      vanish(head.slice(0, -2), 0),
      vanish(head, 5),
      vanish(head + body.slice(0, -1), 5),
      ...sized([5], [0, 1, 5, 20]).map((delay) => vanish(head + body, delay)),
      vanish(head + body, 'first byte'),
    ])
  }
  const after = await resourcesAtRest(
    service,
    ({ sockets, files, openTransactions }) =>
      sockets <= before.sockets && files.length <= before.files.length && openTransactions === 0,
  )
  t.ok(after.sockets <= before.sockets, `${after.sockets} sockets, ${before.sockets} before`)
  t.strictSame(after.files, before.files)
  t.equal(after.openTransactions, 0)
  t.equal((await call('GET', '/v1/users/export')).status, 200, 'all places are free')
})

const DECODERS: Record<string, (body: Buffer) => Buffer> = {
  identity: (body) => body,
  gzip: (body) => gunzipSync(body),
  br: (body) => brotliDecompressSync(body),
  zstd: (body) => zstdDecompressSync(body),
}

/** How a response ends if its database connection is lost after its first bytes. */
async function loseDatabaseDuring(path: string, coding: string): Promise<'cut' | 'whole' | 'ended early'> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = { 'accept-encoding': coding }
  request(url + path, { headers, agent: false }, resolve)
    .on('error', reject)
    .end()
  const answer = await promise
  await once(answer, 'readable')
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'usersync' and xact_start is not null`
  const body = await buffer(answer).catch(() => undefined)
  if (body === undefined) return 'cut'
  const text = DECODERS[String(answer.headers['content-encoding'] ?? 'identity')]?.(body).toString() ?? ''
  const isWhole = path.includes('format=json') ? text.trimEnd().endsWith('}') : text.includes('{"end":')
  return isWhole ? 'whole' : 'ended early'
}

t.test('a response that fails halfway is cut, and does not look complete', async (t) => {
  const endings: string[] = []
  for (const coding of sized(['identity', 'zstd'], Object.keys(DECODERS))) {
    for (const path of [
      '/v1/users/export?format=ndjson&include=password',
      '/v1/users/export?format=json&include=password',
      '/v1/replica/users?pool=default',
    ]) {
      if (path.startsWith('/v1/replica')) await call('PATCH', '/v1/pools/default', { body: { replica: true } })
      endings.push(await loseDatabaseDuring(path, coding))
      t.not(endings.at(-1), 'ended early', `${path} ${coding}`)
    }
    const role = `role ${coding}` // a state that is not cached
    await call('PATCH', '/v1/pools/default', { body: { replica: false } })
    await sql`update users set role = ${role} where username = 'user1'`
    t.not(await loseDatabaseDuring('/v1/users/export?format=ndjson', coding), 'ended early', `cached, ${coding}`)
  }
  // A compressed response may be complete before the connection to the database is lost.
  t.ok(endings.filter((ending) => ending === 'cut').length >= 3, endings.join())
})

/** How a response to HTTP/1.0 ends for its client if its database connection is lost after its first bytes. */
async function loseDatabaseDuringOldRequest(path: string): Promise<'reset' | 'ended'> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.0\r\nhost: localhost\r\n\r\n`)
  const reset = once(socket, 'error').then(() => 'reset' as const)
  await once(socket, 'readable')
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'usersync' and xact_start is not null`
  const ended = once(socket.resume(), 'end').then(() => 'ended' as const)
  return await Promise.race([reset, ended.catch(() => reset)])
}

t.test('a response to HTTP/1.0 that fails halfway ends with a reset', async (t) => {
  t.equal(await loseDatabaseDuringOldRequest('/v1/users/export?format=csv&include=password'), 'reset')
})
