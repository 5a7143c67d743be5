import { once } from 'node:events'
import { type ClientRequest, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { makePool } from '../export/observe.ts'
import { startService } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { exportOf, put } from '../replica/pair.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A client that sends slowly, or the lock of another writer, must not block other requests. */

const USERS = 2_500
const { sql, call, url } = await sharedService(t)
const NDJSON = { 'content-type': 'application/x-ndjson' }
const target = { url: 'http://127.0.0.1:1', key: 'k'.repeat(32), filter: {} }

/** Starts an upload and leaves it open. `end` sends the rest and returns the response. */
function openUpload(method: string, url: string, start: string, headers: Record<string, string> = {}) {
  const sent: ClientRequest = request(url, { method, headers: { ...NDJSON, ...headers }, agent: false })
  const answered = once(sent, 'response')
  let isOver = false
  const end = () => {
    isOver = true
  }
  answered.then(end, end)
  sent.on('error', () => {})
  sent.write(start)
  return {
    destroy: () => sent.destroy(),
    isOver: () => isOver,
    async end(rest = '') {
      sent.end(rest)
      const [response] = await answered
      return { status: response.statusCode as number, json: JSON.parse(await text(response)) }
    },
  }
}

t.test('an open import and an open push block no other request', async (t) => {
  await sql`insert into users (username, email) select 'u' || n, 'u' || n || '@example.com' from generate_series(1, ${USERS}::int) n`
  const [first] = await sql<{ id: string }[]>`select id from users where username = 'u1'`
  const rows = Array.from(
    { length: USERS },
    (_, i) => `{"username":"u${i + 1}","email":"u${i + 1}@example.com","role":"sent"}\n`,
  )
  const imported = openUpload('POST', `${url}/v1/users/import?on_conflict=update`, rows.join(''))
  const full = await exportOf({ call } as Parameters<typeof exportOf>[0])
  await makePool(sql, 'replica')
  const pushed = openUpload('PUT', `${url}/v1/replica/users?pool=replica`, full.slice(0, -10))
  const staged = async () =>
    (
      await sql`
        select from pg_stat_activity where datname = current_database() and application_name = 'usersync uploads'
          and state = 'idle' and query ~ 'jsonb_array_elements'`
    ).length
  while ((await staged()) < 1) await sleep(20)
  const held = async () =>
    (
      await sql`
        select from pg_locks l join pg_stat_activity a using (pid)
        where a.datname = current_database() and a.application_name = 'usersync uploads'`
    ).length
  while ((await held()) > 0) await sleep(20) // until the push has been sent

  const answers = await Promise.all([
    ...Array.from({ length: 24 }, (_, i) =>
      call('PATCH', `/v1/users/${first?.id}`, { body: { role: `patched ${i}` } }),
    ),
    call('GET', '/readyz'),
    call('GET', '/v1/users?limit=1'),
  ])
  t.strictSame([...new Set(answers.map(({ status }) => status))], [200])
  t.match(await call('POST', '/v1/targets', { body: { name: 'one', ...target } }), { status: 201 })
  t.match(await call('DELETE', '/v1/pools/replica'), { status: 204 }, 'even the pool of the open push')

  const { status, json } = await imported.end('{"username":"last@example.com"}\n')
  t.match({ status, json }, { status: 201, json: { created_count: 1, updated_count: USERS, failed_count: 0 } })
  t.match(
    await sql`select role from users where username = 'u1'`,
    [{ role: 'sent' }],
    'applied once the body has ended',
  )
  t.match(await pushed.end(full.slice(-10)), { status: 404, json: { code: 'pool_not_found' } })
})

t.test(
  'requests that wait for the lock of another writer fail in time, and health checks do not queue behind them',
  async (t) => {
    const DATABASE_URL = await testDatabase()
    const standard = connect({ url: DATABASE_URL, schema: 'usersync', connections: 1, name: 'test' })
    t.match(await standard`show lock_timeout`, [{ lock_timeout: '5s' }], 'every connection has the timeout')
    await standard.end()

    const settings = { DATABASE_URL, MAX_WORKERS: '1', DATABASE_CONNECTIONS: '4', EXPORT_CONCURRENCY: '1' }
    const service = await startService(t, settings, { lockTimeoutMs: 1_500 })
    const { sql, call } = service
    const [user] = await sql<{ id: string }[]>`
    insert into users (username, email) values ('held', 'held@example.com') returning id`
    await call('GET', '/readyz')
    const holder = await openTransaction(t, sql)
    await holder`update users set role = 'held' where username = 'held'`
    const patch = () => call<{ code: string }>('PATCH', `/v1/users/${user?.id}`, { body: { role: 'x' } })
    const patches = Array.from({ length: 4 }, patch)
    const waiting = async () =>
      (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length
    while ((await waiting()) < 4) await sleep(10)
    t.match(await call('GET', '/readyz'), { status: 200 }, 'while all connections for requests wait')
    for (const answer of await Promise.all(patches)) {
      t.match(answer, { status: 503, json: { code: 'overloaded' }, headers: { 'retry-after': /^\d+$/ } })
    }
    await holder.rollback()
    t.match(await patch(), { status: 200 })

    const poolId = await makePool(sql, 'busy')
    const importing = await openTransaction(t, sql)
    await importing`select from pools where id = ${poolId} for key share` // as an import does while it applies its rows
    const full = await exportOf(service)
    const push = () => put(service.url, full, { pool: 'busy' })
    const [declared, pushed] = await Promise.all([call('PATCH', '/v1/pools/busy', { body: { replica: true } }), push()])
    const overloaded = { status: 503, json: { code: 'overloaded' } }
    t.match(declared, { ...overloaded, headers: { 'retry-after': '5' } }, 'a pool with an import becomes no replica')
    t.match(pushed, overloaded)
    t.equal(pushed.headers.get('retry-after'), '5')
    await importing.rollback()
    t.match(await push(), { status: 200 })
  },
)

t.test('a target can be created while a writer uses its pool, but not if the pool is deleted', async (t) => {
  const poolId = await makePool(sql, 'written')
  const create = () => call('POST', '/v1/targets?pool=written', { body: { name: 'one', ...target } })
  const writer = await openTransaction(t, sql)
  await writer`select from pools where id = ${poolId} for key share` // as every writer of its users does
  t.match(await create(), { status: 201 })
  await writer.rollback()

  await sql`delete from targets`
  const deletion = await openTransaction(t, sql)
  await deletion`delete from pools where id = ${poolId}`
  const answer = create()
  const waits = async () =>
    (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length > 0
  while (!(await waits())) await sleep(10)
  await deletion.commit()
  t.match(await answer, { status: 404, json: { code: 'pool_not_found' } })
  t.same(await sql`select from targets`, [])
})

t.test('one key cannot use all import places', async (t) => {
  const secrets = { a: 'a'.repeat(32), b: 'b'.repeat(32) }
  const { sql, call, url } = await startService(t, {
    ...{ MAX_WORKERS: '1', WAIT_SECONDS: '1' },
    API_KEYS: `a=admin=${secrets.a},b=admin=${secrets.b}`,
  })
  await makePool(sql, 'replica')
  const full = await exportOf({
    call: (method: string, path: string) => call(method, path, { headers: { authorization: `Bearer ${secrets.b}` } }),
  } as Parameters<typeof exportOf>[0])
  const routes = [
    ['POST', '/v1/users/import', '{"username":"b@example.com"}\n', 201],
    ['PUT', '/v1/replica/users?pool=replica', full, 200],
  ] as const
  for (const [method, path, body, status] of routes) {
    const as = (key: string) => ({ ...NDJSON, authorization: `Bearer ${key}` })
    const open = () => openUpload(method, url + path, body.slice(0, 20), as(secrets.a))
    const slow = [open(), open()]
    const third = () => call(method, path, { body: body.replace('b@', 'a@'), headers: as(secrets.a) })
    let refused = await third()
    // The third is rejected once the other two have arrived, which takes a while on a busy machine.
    // One that meets a service whose event loop is behind is rejected, and opened again.
    for (const deadline = Date.now() + 20_000; refused.status !== 503 && Date.now() < deadline; ) {
      for (const [i, each] of slow.entries()) if (each.isOver()) slow[i] = open()
      refused = await third()
    }
    t.match(refused, { status: 503, json: { code: 'overloaded' } }, `${method} of the same key`)
    t.match(await call(method, path, { body, headers: as(secrets.b) }), { status }, `${method} of another key`)
    for (const each of slow) each.destroy()
  }
})

t.test(
  'of many failures only the first are stored, all are counted, and none contains a real email address',
  async (t) => {
    const rows = [
      '{"username":"jane.doe@private.com"}',
      '{"username":"Jane Doe","email":"jane@private.com"}',
      '{"username":"jane@private.com","nick":1}',
      '{"username":"x@example.com","nick":1}',
      '{"username":"there@example.com"}',
      '{"username":"there@example.com"}',
      ...Array.from({ length: 10_100 }, () => '{}'),
    ]
    const { status, json } = await call<Batch>('POST', '/v1/users/import?on_conflict=skip', {
      ...{ body: rows.join('\n'), headers: NDJSON },
    })
    const counts = {
      total_requested: 10_106,
      created_count: 1,
      updated_count: 0,
      skipped_count: 1,
      failed_count: 10_104,
    }
    t.match({ status, json }, { status: 201, json: { ...counts, progress: 1, status: 'completed_with_failures' } })
    t.match(await sql`select count(*)::int as count, max(n)::int as last from failures`, [
      { count: 10_000, last: 10_001 },
    ])
    const { json: page } = await call('GET', `/v1/batches/${json.id}/failures?limit=5`)
    t.match(page, {
      items: [
        { n: 1, username: '', email: '', code: 'domain_not_reserved' },
        { n: 2, username: '', email: '', code: 'domain_not_reserved' },
        { n: 3, username: '', email: '', code: 'unknown_member' },
        { n: 4, username: 'x@example.com', code: 'unknown_member' },
        { n: 6, username: 'there@example.com', code: 'username_taken' },
      ],
    })
  },
)
