import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { createDatabaseLook } from '../../src/telemetry/gauges.ts'
import { testDatabase } from '../database.ts'
import { startProxy } from '../database-proxy.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type Scrape, scrape, scrapeUntil } from './scrape.ts'

const t = suite()

/* A scrape of /metrics, whatever happens around it. */

const secret = 's3cret'.repeat(8)
const keyed = await startService(t, { MAX_WORKERS: '1', API_KEYS: `planted_key_name=admin=${secret}` })

t.test('/metrics is Prometheus text, needs no key, and is compressed if requested', async (t) => {
  const { call } = keyed
  const { status, headers } = await call('GET', '/metrics')
  t.match({ status, type: headers['content-type'] }, { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' })
  const coded = await call('GET', '/metrics', { headers: { 'accept-encoding': 'gzip' } })
  t.match(coded.headers, { 'content-encoding': 'gzip' })
})

t.test('if the database is down or silent, a scrape does not wait for it and has all other metrics', async (t) => {
  const url = new URL(await testDatabase())
  const proxy = await startProxy(t, Number(url.port))
  url.port = String(proxy.port)
  const service = await startService(t, { MAX_WORKERS: '1', DATABASE_URL: url.href })
  t.equal((await scrape(service)).value('usersync_database_up'), 1)

  for (const fault of [proxy.silence, proxy.cut]) {
    await fault()
    const down = await scrapeUntil(service, (now) => now.value('usersync_database_up') === 0)
    t.ok(down.names().has('usersync_database_up'))
    for (let n = 0; n < sized(2, 5); n++) {
      const begun = performance.now()
      const now = await scrape(service)
      const took = performance.now() - begun
      t.ok(took < 4_000, `${fault.name}: ${took} ms`) // half a second on an idle machine; a request waits for 5 s
      t.equal(now.value('usersync_database_up'), 0)
      t.notOk(now.names().has('usersync_batches'), 'unknown values are left out')
      t.equal(now.value('usersync_worker_threads{state="idle"}'), 1)
      t.ok(now.names().has('process_resident_memory_bytes'))
    }
  }
  await proxy.restore()
  const up = await scrapeUntil(service, (now) => now.value('usersync_database_up') === 1)
  t.ok(up.names().has('usersync_batches'))
})

t.test('the database is queried about once a second, however often /metrics is scraped', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 2, name: 'test' })
  t.teardown(() => sql.end())
  let statements = 0
  const counted = new Proxy(sql, {
    apply(target, self, args) {
      statements++
      return Reflect.apply(target as (...args: unknown[]) => unknown, self, args)
    },
  })
  const look = createDatabaseLook(counted)
  const begun = performance.now()
  let scrapes = 0
  for (; performance.now() - begun < 2_500; scrapes += 3) {
    const answers = await Promise.all([look(), look(), look()])
    t.ok(answers.every((counts) => counts?.batches['queued'] === 0))
    await sleep(10)
  }
  const looks = statements / 2
  t.ok(looks >= 2 && looks <= 4, `${looks} queries in 2.5 s, for ${scrapes} scrapes`)
})

t.test('unusual URLs and methods create no further samples, and no user, key or password is exposed', async (t) => {
  const service = keyed
  const headers = { authorization: `Bearer ${secret}`, prefer: 'wait=30' }
  const call = (method: string, path: string, body?: object) =>
    service.call(method, path, body ? { body, headers } : { headers })
  await call('POST', '/v1/pools', { name: 'planted_pool' })
  const config = { username_pattern: 'planted_user_{id}', password: 'planted_s3cret_1' }
  const made = await call('POST', '/v1/batches?pool=planted_pool', { count: 3, config, label: 'planted_label' })
  t.equal(made.status, 201)
  const times = sized(40, 500)
  const oddly = async (from: number) => {
    for (let n = from; n < from + times; n++) {
      await call('GET', `/nowhere/${n}`)
      await call('GET', `/v1/users/planted_user_${n}?x=${n}`)
      if (n % 10 === 0) await call(['PURGE', 'DELETE', 'LINK', 'PUT'][(n / 10) % 4] ?? '', '/v1/states/current')
    }
  }
  const ours = (now: Scrape) => new Set(now.samples().filter((sample) => !sample.startsWith('nodejs_gc_'))) // V8 decides when to collect
  await scrape(service)
  await oddly(0)
  const before = await scrape(service)
  await oddly(times)
  const after = await scrape(service)
  t.strictSame(ours(after), ours(before))
  t.ok(after.samples().length < 1_000, `${after.samples().length} samples`)
  const count = 'usersync_http_request_duration_seconds_count'
  const unmatched = `${count}{method="other",route="unmatched",status="4xx"}`
  t.equal(after.value(unmatched) - before.value(unmatched), times + times / 10)
  t.notMatch(after.text, /planted|s3cret|nowhere|PURGE|e1e1/)
})
