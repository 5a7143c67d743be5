import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Test } from 'tap'
import { startService } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, startReceiver } from '../sync/receiver.ts'
import { type Scrape, scrape, scrapeUntil } from './scrape.ts'

const t = suite()

/* Each metric changes when it should, by the correct amount. */

const service = await sharedService(t)
const { call, sql } = service

async function make(count: number, members: Record<string, unknown> = {}, pattern = 'made_{id}'): Promise<string> {
  const config = { password_hash: { algorithm: 'none' }, username_pattern: pattern }
  const body = { count, config, ...members }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  return json.id
}

/** Checks that `work` increases these samples by these amounts. Some are recorded a moment after the response. */
async function grows(t: Test, expected: Record<string, number>, work: () => Promise<unknown>, name = '') {
  const before = await scrape(service)
  await work()
  const growth = (now: Scrape) =>
    Object.fromEntries(Object.keys(expected).map((sample) => [sample, now.value(sample) - before.value(sample)]))
  const after = await scrapeUntil(service, (now) => isDeepStrictEqual(growth(now), expected))
  t.strictSame(growth(after), expected, name)
}

t.test('created and failed users are counted', async (t) => {
  const counts = (created: number, failed: number) => ({
    usersync_users_created_total: created,
    usersync_users_failed_total: failed,
    'usersync_chunk_duration_seconds_count{outcome="done"}': 2, // one of credentials, one of users
  })
  await grows(t, counts(20, 0), () => make(20, {}, 'twice_{n}'))
  await grows(t, counts(5, 20), () => make(25, {}, 'twice_{n}'), 'taken names fail')
})

t.test('leases are counted by how they were decided and how they ended', async (t) => {
  await sql`insert into users (username, email) select 'lease' || n, n || '@lease.example' from generate_series(1, 3) n`
  await call('POST', '/v1/pools', { body: { name: 'single' } })
  await sql`insert into users (pool_id, username, email) select id, 'one', 'one@lease.example' from pools where name = 'single'`
  const take = (body: object) => call<{ id: string; fence: number }>('POST', '/v1/leases', { body })
  const filter = { attributes: { none: true } }
  const decided = (outcome: string) => `usersync_lease_request_wait_seconds_count{outcome="${outcome}"}`
  const ended = (ending: string) => `usersync_leases_ended_total{ending="${ending}"}`
  const all = { [decided('granted')]: 4, [decided('exhausted')]: 1, usersync_lease_users_granted_total: 5 }
  await grows(t, { ...all, [ended('returned')]: 1, [ended('forced')]: 1, [ended('expired')]: 2 }, async () => {
    const { json: returned } = await take({ count: 2 })
    await call('POST', `/v1/leases/${returned.id}/return`, { body: { fence: returned.fence, outcome: 'dirty' } })
    await call('DELETE', `/v1/leases/${(await take({})).json.id}`)
    await take({ filter })
    await take({ pool: 'single', ttl_seconds: 1 })
    await take({ pool: 'single', ttl_seconds: 1, wait_seconds: 30 }) // ends the one before itself
  })
  const users = (now: Scrape, status: string) => now.value(`usersync_lease_users{status="${status}"}`)
  // A count that took long is used again for a while.
  const now = await scrapeUntil(service, (now) => users(now, 'dirty') === 2 && users(now, 'leased') === 0)
  t.equal(users(now, 'dirty'), 2)
  t.equal(users(now, 'leased'), 0)
  t.equal(now.value('usersync_lease_requests_waiting'), 0)
})

t.test('exports are counted by kind and reason', async (t) => {
  const none = Object.fromEntries(
    ['full none', 'full unknown', 'full requested', 'delta ', 'unchanged '].map((kind) => [exportsOf(kind), 0]),
  )
  const ask = (query: string, headers = {}) => call('GET', `/v1/users/export?format=ndjson${query}`, { headers })
  const is = (kind: string, query: string, headers = {}) =>
    grows(t, { ...none, [exportsOf(kind)]: 1 }, () => ask(query, headers), kind)
  const { headers } = await ask('')
  const state = String(headers['usersync-state'])
  await is('full none', '')
  await is('full unknown', `&base=u1-${'a'.repeat(64)}`)
  await is('full requested', `&base=${state}&differential=false`)
  await is('unchanged ', '', { 'if-none-match': String(headers.etag) })
  await is('unchanged ', `&base=${state}`)

  await make(3)
  await sql`update states set recorded_at = recorded_at - interval '50 minutes'`
  const ages = { [ageWithin(600)]: 0, [ageWithin(3_600)]: 1 }
  await grows(t, ages, () => is('delta ', `&base=${state}`), 'its base is 50 minutes old')
})

const ageWithin = (seconds: number) => `usersync_base_age_seconds_bucket{le="${seconds}"}`

/** The sample of a kind and its reason. */
const exportsOf = (kind: string) => `usersync_exports_total{kind="${kind.replace(' ', '",reason="')}"}`

t.test('successful and failed pushes are counted', async (t) => {
  const receiver = await startReceiver(t)
  const body = { name: 'tester', url: receiver.url, key: RECEIVER_KEY }
  t.equal((await call('POST', '/v1/targets', { body })).status, 201)
  const push = () => call('POST', '/v1/sync', { body: { target: 'tester' } })
  await push()
  const succeeded = await scrapeUntil(
    service,
    (now) => now.value('usersync_sync_runs_total{outcome="succeeded"}') === 1,
  )
  t.equal(succeeded.value('usersync_sync_runs_total{outcome="succeeded"}'), 1)
  t.equal(succeeded.value('usersync_sync_run_duration_seconds_count'), 1)
  receiver.misbehave = (_request, response) => {
    response.writeHead(404).end()
    return 'done'
  }
  await push()
  const refused = await scrapeUntil(service, (now) => now.value('usersync_sync_runs_total{outcome="refused"}') === 1)
  t.equal(refused.value('usersync_sync_runs_total{outcome="refused"}'), 1)
  t.equal(refused.value('usersync_sync_run_duration_seconds_count'), 2)
})

t.test('expired batches are counted, removed by the service or on request', async (t) => {
  const looks = 'usersync_expiry_looks_total{outcome="done"}'
  // Another service, so that only the request removes the batch below.
  const quick = await startService(t, { MAX_WORKERS: '1' }, { expiryMs: 200 })
  t.ok((await scrapeUntil(quick, (now) => now.value(looks) > 0)).value(looks) > 0)
  const config = { password_hash: { algorithm: 'none' } }
  await quick.call('POST', '/v1/batches', { body: { count: 2, expires_in: 1, config } })
  const after = await scrapeUntil(quick, (now) => now.value('usersync_batches_expired_total') === 1)
  t.equal(after.value('usersync_batches_expired_total'), 1)
  await grows(t, { usersync_batches_expired_total: 1 }, async () => {
    const batch = await make(2, { expires_in: 3_600 })
    await sql`update batches set expires_at = now() where id = ${batch}`
    await call('POST', '/v1/lifecycle/expire', { body: { dry_run: false } })
  })
})

t.test('requests are counted by route and status class', async (t) => {
  const requests = (route: string, status: string) =>
    `usersync_http_request_duration_seconds_count{method="GET",route="${route}",status="${status}"}`
  await grows(t, { [requests('/v1/users/:id', '4xx')]: 1, [requests('/livez', '2xx')]: 2 }, async () => {
    await call('GET', '/v1/users/00000000-0000-0000-0000-000000000001')
    await call('GET', '/livez')
    await call('GET', '/livez?x=1')
  })
})

t.test('gauges show the current state', async (t) => {
  // Batches that no worker may start.
  await sql`
    with waiting as (
      insert into batches (pool_id, id, total_requested, first_user_number, first_credential_id, username_pattern,
        email_suffix, config)
      select 1, uuid_v7(), 1, 1, 1, 'x', '', '{"max_workers": 0}' from generate_series(1, 3) returning id
    )
    insert into chunks (pool_id, batch_id, kind, first_n, last_n) select 1, id, 'users', 1, 1 from waiting`
  const waiting = await scrapeUntil(service, (now) => now.value('usersync_batches{status="queued"}') === 3)
  t.equal(waiting.value('usersync_batches{status="queued"}'), 3)
  t.equal(waiting.value('usersync_worker_threads{state="idle"}'), 2)
  t.equal(waiting.value('usersync_worker_threads{state="busy"}'), 0)
  t.equal(waiting.value('usersync_exports_in_progress'), 0)
  t.equal(waiting.value('usersync_memory_over_limit'), 0)
  t.equal(waiting.value('usersync_memory_limit_bytes'), 1536 * 1_048_576)
  t.equal(waiting.value('usersync_database_up'), 1)
  const size = waiting.value('usersync_data_disk_bytes{space="size"}')
  const available = waiting.value('usersync_data_disk_bytes{space="available"}')
  t.ok(available > 0 && size >= available, `${available} of ${size}`)
  t.ok(waiting.value('process_resident_memory_bytes') > 1_000_000)
  t.ok(waiting.names().has('nodejs_eventloop_lag_p99_seconds'))
})

t.test('the gauge of connections counts those of every purpose', async (t) => {
  await call('POST', '/v1/leases', { body: {} })
  await call('POST', '/v1/users/import', { body: '', headers: { 'content-type': 'text/csv' } })
  await call('GET', '/readyz')
  const states = ['active', 'idle', 'idle in transaction']
  const counted = async () => {
    const now = await scrape(service)
    return states.reduce((sum, state) => sum + now.value(`usersync_database_connections{state="${state}"}`), 0)
  }
  const present = () =>
    sql<{ name: string; count: number }[]>`
      select application_name as name, count(*)::int as count from pg_stat_activity
      where datname = current_database() and application_name like 'usersync%' group by 1`
  const names = new Set((await present()).map(({ name }) => name))
  for (const name of ['usersync', 'usersync health', 'usersync uploads', 'usersync leases']) t.ok(names.has(name), name)
  let [found, wanted] = [0, 1]
  for (const deadline = Date.now() + 10_000; found !== wanted && Date.now() < deadline; await sleep(100)) {
    found = await counted()
    wanted = (await present()).reduce((sum, { count }) => sum + count, 0)
  }
  t.equal(found, wanted)
})

t.test('gauges show a running export and a busy thread', async (t) => {
  const { requests } = await sql.begin(async (tx) => {
    // The export waits for this lock once it has its place, and the chunk of users once it has its thread.
    await tx`lock table users in access exclusive mode`
    const body = { count: 5, config: { password_hash: { algorithm: 'none' } } }
    const requests = [call('POST', '/v1/batches', { body }), call('GET', '/v1/users/export')]
    const isBusy = (now: Scrape) =>
      now.value('usersync_exports_in_progress') === 1 && now.value('usersync_worker_threads{state="busy"}') > 0
    t.ok(isBusy(await scrapeUntil(service, isBusy)))
    return { requests }
  })
  await Promise.all(requests)
})
