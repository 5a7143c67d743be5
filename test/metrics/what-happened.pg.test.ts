import t from 'tap'
import { startService } from '../http/service.ts'
import { RECEIVER_KEY, startReceiver } from '../sync/receiver.ts'
import { scrape, scrapeUntil } from './scrape.ts'

/* Each metric is moved by what should move it, by as much as that. */

const service = await startService(t, { MAX_WORKERS: '2' })
const { call, sql } = service

async function make(count: number, members: Record<string, unknown> = {}, pattern = 'made_{id}'): Promise<string> {
  const config = { password_hash: { algorithm: 'none' }, username_pattern: pattern }
  const body = { count, config, ...members }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  return json.id
}

/** How much each of these samples grows while `work` is done. */
async function growth(samples: string[], work: () => Promise<unknown>): Promise<number[]> {
  const before = await scrape(service)
  await work()
  const after = await scrape(service)
  return samples.map((sample) => after.value(sample) - before.value(sample))
}

t.test('users that are made, and that are not', async (t) => {
  const samples = [
    'usersync_users_created_total',
    'usersync_users_failed_total',
    'usersync_chunk_duration_seconds_count{outcome="done"}',
  ]
  const made = await growth(samples, () => make(20, {}, 'twice_{n}'))
  t.strictSame(made, [20, 0, 2], 'a chunk of credentials, and one of users')
  t.strictSame(await growth(samples, () => make(25, {}, 'twice_{n}')), [5, 20, 2], 'names that are taken fail')
})

t.test('exports, by what they are', async (t) => {
  const kinds = ['full",reason="none', 'full",reason="unknown', 'full",reason="requested', 'delta",reason="']
  const samples = [...kinds, 'unchanged",reason="'].map((kind) => `usersync_exports_total{kind="${kind}"}`)
  const ask = (query: string, headers = {}) => call('GET', `/v1/users/export?format=ndjson${query}`, { headers })
  const { headers } = await ask('')
  const state = String(headers['usersync-state'])
  const asked = (query: string, headers = {}) => growth(samples, () => ask(query, headers))
  t.strictSame(await asked(''), [1, 0, 0, 0, 0])
  t.strictSame(await asked(`&base=u1-${'a'.repeat(64)}`), [0, 1, 0, 0, 0])
  t.strictSame(await asked(`&base=${state}&differential=false`), [0, 0, 1, 0, 0])
  t.strictSame(await asked('', { 'if-none-match': String(headers.etag) }), [0, 0, 0, 0, 1], '304')
  t.strictSame(await asked(`&base=${state}`), [0, 0, 0, 0, 1], '200 that says so')

  await make(3)
  await sql`update states set recorded_at = recorded_at - interval '50 minutes'`
  const ages = ['le="600"}', 'le="3600"}'].map((bound) => `usersync_base_age_seconds_bucket{${bound}`)
  t.strictSame(await growth(ages, async () => t.strictSame(await asked(`&base=${state}`), [0, 0, 0, 1, 0])), [0, 1])
})

t.test('pushes, that succeed and that do not', async (t) => {
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

t.test('batches whose time is over, removed by the service itself or on request', async (t) => {
  const looks = 'usersync_expiry_looks_total{outcome="done"}'
  t.ok((await scrapeUntil(service, (now) => now.value(looks) > 0)).value(looks) > 0)
  await make(2, { expires_in: 1 })
  const after = await scrapeUntil(service, (now) => now.value('usersync_batches_expired_total') === 1)
  t.equal(after.value('usersync_batches_expired_total'), 1)
  const [moved] = await growth(['usersync_batches_expired_total'], async () => {
    const batch = await make(2, { expires_in: 3_600 })
    await sql`update batches set expires_at = now() where id = ${batch}`
    await call('POST', '/v1/lifecycle/expire', { body: { dry_run: false } })
  })
  t.equal(moved, 1)
})

t.test('requests, by route and class', async (t) => {
  const requests = (route: string, status: string) =>
    `usersync_http_request_duration_seconds_count{method="GET",route="${route}",status="${status}"}`
  const samples = [requests('/v1/users/:id', '4xx'), requests('/livez', '2xx')]
  const moved = await growth(samples, async () => {
    await call('GET', '/v1/users/00000000-0000-0000-0000-000000000001')
    await call('GET', '/livez')
    await call('GET', '/livez?x=1')
  })
  t.strictSame(moved, [1, 2])
})

t.test('how things stand', async (t) => {
  // Batches that no worker may begin.
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
  t.ok(waiting.value('usersync_database_connections{state="idle"}') > 1)
  t.ok(waiting.value('process_resident_memory_bytes') > 1_000_000)
  t.ok(waiting.names().has('nodejs_eventloop_lag_p99_seconds'))
})

t.test('an export that reads, a thread that works, memory that is over', async (t) => {
  const admitted = await Promise.all([
    scrapeUntil(service, (now) => now.value('usersync_exports_in_progress') > 0),
    scrapeUntil(service, (now) => now.value('usersync_worker_threads{state="busy"}') > 0),
    sql.begin(async (tx) => {
      // Exports wait for this lock when they have their place, and chunks of users when they have their thread.
      await tx`lock table users in access exclusive mode`
      const body = { count: 5, config: { password_hash: { algorithm: 'none' } } }
      const asked = [call('POST', '/v1/batches', { body }), call('GET', '/v1/users/export')]
      await scrapeUntil(
        service,
        (now) =>
          now.value('usersync_exports_in_progress') > 0 && now.value('usersync_worker_threads{state="busy"}') > 0,
      )
      return asked
    }),
  ])
  await Promise.all(admitted[2])
  t.equal(admitted[0].value('usersync_exports_in_progress'), 1)
  t.equal(admitted[1].value('usersync_worker_threads{state="busy"}'), 1)
  const full = await startService(t, { MAX_WORKERS: '1', MEMORY_LIMIT_MB: '128' })
  const over = await scrapeUntil(full, (now) => now.value('usersync_memory_over_limit') === 1)
  t.equal(over.value('usersync_memory_over_limit'), 1, 'and a scrape is no work that is refused')
})
