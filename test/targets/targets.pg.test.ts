import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql, url, log } = await sharedService(t)
const KEY = 's3cret-of-the-receiver'
const create = (members: Record<string, unknown>, query = '') =>
  call('POST', `/v1/targets${query}`, { body: { url: 'http://127.0.0.1:9', ...members } })

t.test('a target can be created, read, listed, changed and deleted', async (t) => {
  const made = await create({
    name: 'one',
    url: 'http://127.0.0.1:9/base/',
    key: KEY,
    filter: { bulk_users_only: true },
  })
  t.match(made, {
    status: 201,
    headers: { location: '/v1/targets/one' },
    json: {
      name: 'one',
      url: 'http://127.0.0.1:9/base',
      has_key: true,
      filter: { batch_id: null, test_users_only: true, bulk_users_only: true },
      remote_pool: 'default',
      interval_seconds: null,
    },
  })
  t.strictSame((await call('GET', '/v1/targets/one')).json, made.json)
  t.match(await call('PATCH', '/v1/targets/one', { body: { interval_seconds: 3_600, remote_pool: 'other' } }), {
    status: 200,
    json: { interval_seconds: 3_600, remote_pool: 'other', has_key: true, filter: { bulk_users_only: true } },
  })
  t.match(await call('PATCH', '/v1/targets/one', { body: { key: null, interval_seconds: null } }), {
    json: { has_key: false, interval_seconds: null },
  })
  const two = await create({ name: 'two', url: 'http://127.0.0.1:9/v1/' })
  t.equal((two.json as { url: string }).url, 'http://127.0.0.1:9', 'the address of a route')
  t.match((await call('GET', '/v1/targets')).json, { items: [{ name: 'one' }, { name: 'two' }], next_cursor: null })
  t.match((await call('GET', '/v1/targets?limit=1')).json, { items: [{ name: 'one' }], next_cursor: String })
  t.equal((await call('DELETE', '/v1/targets/one')).status, 204)
  t.match(await call('GET', '/v1/targets/one'), { status: 404, json: { code: 'target_not_found' } })
})

t.test('the key is stored encrypted and never returned', async (t) => {
  const made = await create({ name: 'secret', key: KEY })
  const answers = [made, await call('GET', '/v1/targets/secret'), await call('GET', '/v1/targets')]
  t.notOk(answers.some(({ raw }) => raw.includes(KEY)))
  const [row] = await sql<{ key_ciphertext: Buffer }[]>`select key_ciphertext from targets where name = 'secret'`
  t.ok(row && row.key_ciphertext.length > KEY.length && !row.key_ciphertext.includes(KEY))
})

t.test('changing the URL requires the key again', async (t) => {
  await create({ name: 'moved', key: KEY })
  const url = 'http://127.0.0.1:10'
  t.match(await call('PATCH', '/v1/targets/moved', { body: { url } }), {
    status: 400,
    json: { code: 'invalid_request', errors: [{ path: 'body.key' }] },
  })
  t.match(
    await call('PATCH', '/v1/targets/moved', { body: { url: 'http://127.0.0.1:9' } }),
    { status: 200 },
    'the same URL',
  )
  t.match(await call('PATCH', '/v1/targets/moved', { body: { url, key: KEY } }), { status: 200, json: { url } })
})

t.test('invalid targets are rejected with the path', async (t) => {
  const wrong: Record<string, Record<string, unknown>> = {
    'body.url': { url: 'ftp://127.0.0.1' },
    'body.interval_seconds': { interval_seconds: 0 },
    'body.filter.batch_id': { filter: { batch_id: 'x' } },
    'body.filter.role': { filter: { role: 'x' } },
    'body.secret': { secret: 'x' },
    'body.name': { name: '../x' },
  }
  for (const [path, members] of Object.entries(wrong)) {
    t.match(await create({ name: 'wrong', ...members }), { status: 400, json: { errors: [{ path }] } }, path)
  }
  for (const url of [
    'tester:3000',
    'http://user:s3cret@tester',
    'http://tester/?pool=x',
    'http://tester/#x',
    '/path',
  ]) {
    t.equal((await create({ name: 'wrong', url })).status, 400, url)
  }
  t.match(await call('PATCH', '/v1/targets/none', { body: { key: null } }), { status: 404 })
  t.match(await call('DELETE', '/v1/targets/none'), { status: 404, json: { code: 'target_not_found' } })
  t.match(await call('POST', '/v1/sync', { body: { target: 'none' } }), {
    status: 404,
    json: { code: 'target_not_found' },
  })
  t.match(await call('POST', '/v1/sync/verify', { body: { target: 'none' } }), { status: 404 })
  const run = '01890000-0000-7000-8000-000000000000'
  t.match(await call('GET', `/v1/sync/runs/${run}`), { status: 404, json: { code: 'sync_run_not_found' } })
})

t.test('a target is not its own source, and says whether a run makes its pool a replica', async (t) => {
  for (const name of ['source', 'copy']) await call('POST', '/v1/pools', { body: { name } })
  const own = { status: 400, json: { errors: [{ path: 'body.remote_pool', code: 'own_pool' }] } }
  for (const address of [url, `${url}/v1/`, url.replace('127.0.0.1', 'localhost')])
    t.match(await create({ name: 'self', url: address }, '?pool=source'), own, address)
  t.equal((await create({ name: 'self', url, remote_pool: 'copy' }, '?pool=source')).status, 201)
  t.equal((await create({ name: 'behind', url: `${url}/other` }, '?pool=source')).status, 201, 'another service')
  t.match(await call('PATCH', '/v1/targets/self?pool=source', { body: { remote_pool: 'source' } }), own)

  await sql`insert into users (pool_id, username, email) select id, 'a', 'a@example.com' from pools where name = 'source'`
  const status = async () =>
    (await call<{ items: object[] }>('GET', '/v1/sync/status?pool=source')).json.items.find((item) =>
      Object.values(item).includes('self'),
    )
  t.match(await status(), { in_step: false, remote_failure: null, becomes_replica: true })
  await call('PATCH', '/v1/pools/copy', { body: { replica: 'test_users' } })
  t.match(await status(), { in_step: false, remote_failure: null, becomes_replica: false })
})

t.test('a target name is unique in its pool, and a pool has at most 100 targets', async (t) => {
  await call('POST', '/v1/pools', { body: { name: 'full' } })
  const made = await Promise.all(Array.from({ length: 105 }, (_, n) => create({ name: `t${n}` }, '?pool=full')))
  t.strictSame(made.map(({ status }) => status).toSorted(), [...Array(100).fill(201), ...Array(5).fill(409)])
  t.match(await create({ name: 'more' }, '?pool=full'), { status: 409, json: { code: 'target_limit' } })
  await call('DELETE', '/v1/targets/t0?pool=full')
  t.match(await create({ name: 't1' }, '?pool=full'), { status: 409, json: { code: 'target_exists' } })
  t.equal((await create({ name: 't1' })).status, 201, 'another pool')
  t.equal((await call('DELETE', '/v1/pools/full')).status, 204)
  t.same(await sql`select from targets where name = 't5'`, [], 'they were deleted with the pool')
})

t.test('a slow import does not delay changes of targets', async (t) => {
  const agent = new Agent()
  t.teardown(() => agent.destroy())
  const headers = { 'content-type': 'application/x-ndjson' }
  const slow = httpRequest(`${url}/v1/users/import`, { method: 'POST', agent, headers })
  slow.on('error', () => {})
  const rows = Array.from({ length: 3_000 }, (_, n) => `{"username":"slow${n}@example.com"}\n`)
  slow.write(rows.join(''))
  const staged = () => sql`
    select from pg_stat_activity where datname = current_database() and application_name = 'usersync uploads'
      and query ~ 'jsonb_array_elements'`
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && (await staged()).length === 0; ) await sleep(20)
  // A request that waits for a lock is 503.
  t.equal((await create({ name: 'meanwhile' })).status, 201)
  t.equal((await call('PATCH', '/v1/targets/meanwhile', { body: { interval_seconds: null } })).status, 200)
  slow.destroy()
})

t.test('every row belongs to an existing pool or target', async (t) => {
  const orphan = { pool_id: 999_999, url: 'http://x', remote_pool: 'x', test_users_only: true, bulk_users_only: false }
  await t.rejects(sql`insert into targets ${sql({ ...orphan, name: 'x' })}`, { code: '23503' })
  await t.rejects(sql`insert into sync_runs (pool_id, target, trigger, "full") values (1, 'none', 'request', false)`, {
    code: '23503',
  })
  await t.rejects(sql`insert into templates (pool_id, name, settings) values (999999, 'x', '{}')`, { code: '23503' })
})

t.test('a key sent over a network without encryption causes a warning', async (t) => {
  const isWarned = (name: string) =>
    log.some((line) => JSON.parse(line).target === name && /unencrypted/.test(line) && JSON.parse(line).level === 40)
  await create({ name: 'near', key: KEY })
  await create({ name: 'keyless', url: 'http://tester.example:3000' })
  await create({ name: 'https', url: 'https://tester.example', key: KEY })
  await create({ name: 'far', url: 'http://tester.example:3000', key: KEY })
  t.strictSame(['near', 'keyless', 'https', 'far'].filter(isWarned), ['far'])
})
