import { readdir, readlink } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Slow readers, readers that disconnect, and more readers than places. */

const PLACES = 2
/** 12 MB: more than the kernel buffers for a client that does not read. */
const USERS = 3_000
/** More than an export that is read into memory at once. */
const MANY = 2_100
const READERS = sized(10, 100)
const EXPORT = '/v1/users/export?format=ndjson'
const UNCACHED = `${EXPORT}&include=password`

/** A service with users of 4 KB that hardly compress. */
async function startFilled(users: number, settings: Record<string, string> = {}) {
  const service = await startService(t, {
    ...{ MAX_WORKERS: '1', EXPORT_CONCURRENCY: String(PLACES), WAIT_SECONDS: '60', EXPORT_CACHE_MB: '16' },
    ...settings,
  })
  await service.sql`
    insert into users (username, email, custom_attributes)
    select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('text', text)
    from generate_series(1, ${users}::int) n
    cross join lateral (select string_agg(md5((n * 1000 + part)::text), '') as text from generate_series(1, 125) part) texts`
  return service
}

const { sql, call, url, dataDir } = await startFilled(USERS)

/** Starts an export and reads only its headers. */
function beginExport(path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request(url + path, { headers, agent: false }, resolve)
    .on('error', reject)
    .end()
  return promise
}

/** The number of open snapshots: connections of the service in a transaction. */
async function openSnapshots(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where datname = current_database() and application_name = 'usersync' and xact_start is not null and pid <> pg_backend_pid()`
  return row?.count ?? 0
}

/** The number of cache files that this process has open, from /proc. */
async function openFiles(): Promise<number> {
  const handles = await readdir('/proc/self/fd').catch(() => [])
  const targets = await Promise.all(handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')))
  return targets.filter((target) => target.startsWith(dataDir)).length
}

async function until(condition: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 300; i++) {
    if (await condition()) return true
    await sleep(10)
  }
  return false
}

const nothingIsOpen = () => until(async () => (await openSnapshots()) === 0 && (await openFiles()) === 0)

t.test('a slow reader keeps no snapshot open, and many slow readers share one export', async (t) => {
  const readers = await Promise.all(
    Array.from({ length: READERS }, () => beginExport(EXPORT, { 'accept-encoding': 'gzip' })),
  )
  t.ok(readers.every(({ statusCode }) => statusCode === 200))
  t.ok(
    await until(async () => (await openSnapshots()) === 0),
    'no snapshot is open, although no reader has read more than the headers',
  )
  t.ok((await openFiles()) <= 1)
  const whole = await call('GET', EXPORT, { headers: { 'accept-encoding': 'gzip' } })
  t.equal(whole.headers['content-length'], String(whole.raw.length), 'others get the finished file meanwhile')
  for (const reader of readers) reader.destroy()
  t.ok(await nothingIsOpen())
})

t.test('slow readers do not fill the disk: beyond twice the cache, an export is read from the database', async (t) => {
  const paths = ['ndjson', 'json', 'csv'].map((format) => `/v1/users/export?format=${format}&shard=0/1`)
  const readers: IncomingMessage[] = []
  for (const path of paths) readers.push(await beginExport(path)) // 36 MB
  t.ok(await until(async () => (await openSnapshots()) === 0))
  readers.push(await beginExport(EXPORT))
  t.equal(await openSnapshots(), 1)
  for (const path of paths) readers.push(await beginExport(path))
  t.strictSame([await openSnapshots(), await openFiles()], [1, 3], 'further readers of the same exports share them')
  for (const reader of readers) reader.destroy()
  t.ok(await nothingIsOpen())
})

t.test('a reader that disconnects releases its snapshot, place and file', async (t) => {
  for (const [n, path] of [UNCACHED, `${EXPORT}&shard=0/1`].entries()) {
    const codings = [{}, { 'accept-encoding': 'zstd' }, { 'accept-encoding': 'br' }]
    for (const headers of sized(codings.slice(n, n + 1), codings)) {
      const readers = [await beginExport(path, headers), await beginExport(path, headers)]
      for (const reader of readers) reader.destroy()
      t.ok(await nothingIsOpen(), `released: ${path} ${JSON.stringify(headers)}`)
    }
    for (const delay of [0, 1, 3, 10]) {
      const early = request(url + path, { agent: false }).on('error', () => {})
      early.end()
      await sleep(delay)
      early.destroy()
    }
    t.ok(await nothingIsOpen(), 'also if it disconnects before the first byte')
  }
  t.equal((await call('GET', UNCACHED)).status, 200)
  t.ok(await nothingIsOpen(), 'also after a complete read')
})

t.test('uncached exports wait for a free place', async (t) => {
  const readers = [await beginExport(UNCACHED), await beginExport(UNCACHED)]
  t.equal(await openSnapshots(), PLACES)
  let answered = false
  const waiting = call('GET', UNCACHED, { headers: { 'accept-encoding': 'zstd' } }).finally(() => {
    answered = true
  })
  const { headers } = await call('GET', '/v1/states/current')
  t.equal(headers['content-type']?.startsWith('application/json'), true, 'other requests are answered meanwhile')
  await sleep(100)
  t.notOk(answered)
  readers[0]?.destroy()
  t.equal((await waiting).status, 200)
  readers[1]?.destroy()
  t.ok(await nothingIsOpen())
})

t.test('if too many exports wait, one gets 503 with Retry-After; 304 needs no place', async (t) => {
  const readers = [await beginExport(UNCACHED), await beginExport(UNCACHED)]
  const waiting = Array.from({ length: 4 * PLACES + 1 }, () => beginExport(UNCACHED))
  t.match(await Promise.race(waiting), { statusCode: 503, headers: { 'retry-after': /^\d+$/ } }, 'immediately')
  const { state } = (await call<{ state: string }>('GET', '/v1/states/current')).json
  t.equal((await call('GET', EXPORT, { headers: { 'if-none-match': `W/"${state}"` } })).status, 304)
  for (const reader of readers) reader.destroy()
  const statuses = await Promise.all(
    waiting.map(async (answered) => {
      const answer = await answered
      answer.destroy()
      return answer.statusCode
    }),
  )
  t.strictSame(statuses.toSorted(), [...Array.from({ length: 4 * PLACES }, () => 200), 503])
})

t.test('a cached export is used only for its state: a change of one user is in the next export', async (t) => {
  const [pool] = await sql<{ id: number }[]>`insert into pools (name) values ('short') returning id`
  const ofPool = sql`pool_id = ${pool?.id ?? 0}`
  await sql`
    insert into users (pool_id, username, email)
    select ${pool?.id ?? 0}, username, email from users order by id limit ${MANY}`
  const read = async (query = '') => (await call('GET', `${EXPORT}&pool=short${query}`)).raw.toString()
  const before = await read()
  await sql`update users set role = 'changed' where username = 'user1' and ${ofPool}`
  const after = await read()
  t.not(after, before)
  t.ok(after.includes('"role":"changed"'))
  await sql`update users set role = 'all' where username <> 'user1' and ${ofPool}`
  const base = (JSON.parse(after.slice(0, after.indexOf('\n'))) as { state: string }).state
  const [delta, again] = [await read(`&base=${base}`), await read(`&base=${base}`)]
  t.match(JSON.parse(delta.slice(0, delta.indexOf('\n'))), { kind: 'delta', counts: { updated: MANY - 1 } })
  t.equal(again, delta, 'a large delta is cached as well')
  t.ok((await readdir(`${dataDir}/exports`)).length >= 3)
  t.ok(await nothingIsOpen())
})

t.test('without a cache the exports are the same', async (t) => {
  const uncached = await startFilled(500, { EXPORT_CACHE_MB: '0' })
  const { raw, headers } = await uncached.call('GET', EXPORT, { headers: { 'accept-encoding': 'gzip' } })
  t.equal(headers['content-encoding'], 'gzip')
  t.ok(raw.length > 1_000_000)
  await t.rejects(readdir(`${uncached.dataDir}/exports`), { code: 'ENOENT' })
})
