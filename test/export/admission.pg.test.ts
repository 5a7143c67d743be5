import { type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startService } from '../http/service.ts'

/* Readers who leave in the middle, and more readers than places. */

const PLACES = 2
const { sql, call, url } = await startService(t, { MAX_WORKERS: '1', EXPORT_CONCURRENCY: String(PLACES) })

const EXPORT = '/v1/users/export?format=ndjson'
const USERS = 3_000
// 12 MB that hardly compress: more than the kernel takes for a client that does not read.
await sql`
  insert into users (username, email, custom_attributes)
  select 'user' || n, 'user' || n || '@example.com', jsonb_build_object('text', text)
  from generate_series(1, ${USERS}::int) n
  cross join lateral (select string_agg(md5((n * 1000 + part)::text), '') as text from generate_series(1, 125) part) texts`

/** Begins an export and reads no more than its head; the snapshot behind it stays open. */
function beginExport(headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request(url + EXPORT, { headers, agent: false }, resolve)
    .on('error', reject)
    .end()
  return promise
}

/** Snapshots that are open: connections of the service in a transaction. */
async function openSnapshots(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from pg_stat_activity
    where datname = current_database() and application_name = 'usersync' and xact_start is not null and pid <> pg_backend_pid()`
  return row?.count ?? 0
}

async function until(condition: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    if (await condition()) return true
    await sleep(10)
  }
  return false
}

t.test('a reader who leaves gives the snapshot and the place back', async (t) => {
  for (const headers of [{}, { 'accept-encoding': 'gzip' }, { 'accept-encoding': 'zstd' }]) {
    const readers = [await beginExport(headers), await beginExport(headers)]
    t.ok(await until(async () => (await openSnapshots()) === PLACES), 'both are in work')
    for (const reader of readers) reader.destroy()
    t.ok(await until(async () => (await openSnapshots()) === 0), `given back: ${JSON.stringify(headers)}`)
  }
  for (const delay of [0, 1, 3, 10]) {
    const early = request(url + EXPORT, { agent: false }).on('error', () => {})
    early.end()
    await sleep(delay)
    early.destroy()
  }
  t.ok(await until(async () => (await openSnapshots()) === 0), 'also of those who left before the first byte')
  const whole = await Promise.all(Array.from({ length: PLACES + 1 }, () => call('HEAD', EXPORT)))
  t.strictSame(
    whole.map(({ status }) => status),
    [200, 200, 200],
  )
})

t.test('an export that ends leaves nothing open', async (t) => {
  t.equal((await call('GET', EXPORT)).status, 200)
  t.equal((await call('GET', `${EXPORT}&batch_id=01890000-0000-7000-8000-000000000000`)).status, 200)
  t.ok(await until(async () => (await openSnapshots()) === 0))
})

t.test('the next ones wait for a place, and go on when there is one', async (t) => {
  const readers = [await beginExport(), await beginExport()]
  let answered = false
  const waiting = call('GET', EXPORT, { headers: { 'accept-encoding': 'zstd' } }).finally(() => {
    answered = true
  })
  const { headers } = await call('GET', '/v1/states/current')
  t.equal(headers['content-type']?.startsWith('application/json'), true, 'other requests are answered meanwhile')
  await sleep(100)
  t.notOk(answered)
  readers[0]?.destroy()
  t.equal((await waiting).status, 200)
  readers[1]?.destroy()
})

t.test('where too many wait, one is told when to come again; unchanged needs no place', async (t) => {
  const readers = [await beginExport(), await beginExport()]
  const waiting = Array.from({ length: 4 * PLACES + 1 }, () => call('HEAD', EXPORT))
  t.match(await Promise.race(waiting), { status: 503, headers: { 'retry-after': /^\d+$/ } }, 'at once')
  const { state } = (await call<{ state: string }>('GET', '/v1/states/current')).json
  t.equal((await call('GET', EXPORT, { headers: { 'if-none-match': `W/"${state}"` } })).status, 304)
  for (const reader of readers) reader.destroy()
  const statuses = (await Promise.all(waiting)).map(({ status }) => status)
  t.strictSame(statuses.toSorted(), [...Array.from({ length: 4 * PLACES }, () => 200), 503])
})
