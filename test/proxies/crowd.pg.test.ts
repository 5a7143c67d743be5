import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { ANY_BATCH } from '../../src/states/filter.ts'
import { CHILD_ENV } from '../child-env.ts'
import { type Service, startService } from '../http/service.ts'
import { scrape } from '../metrics/scrape.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { CACHES } from './cache-programs.ts'
import type { CrowdReport, CrowdSettings } from './crowd.ts'

const t = suite()

/*
 * A crowd follows a pool through a cache while the pool changes every 5 s. By hand, for the figures in docs/caches.md, on a machine with
 * nothing else to do:
 *   CROWD='{"clients": 10000, "users": 100000, "changes": 12}' npm test -- test/proxies/crowd.pg.test.ts
 */

const byHand = process.env['CROWD']
const { clients, users, changes } = byHand
  ? (JSON.parse(byHand) as { clients: number; users: number; changes: number })
  : { clients: sized(50, 500), users: sized(500, 5_000), changes: sized(1, 3) }
const CHANGE_EVERY_MS = 5_000
const POLL_MS = 1_000
const PROCESSES = byHand ? 2 : 1
const WAIT_MS = 60_000
/** What the service may be asked for each change. */
const MAX_REQUESTS = 20
const MAX_DELAY_MS = 2_000

/** A process of the crowd, which has the first state. */
async function startCrowd(t: Test, settings: CrowdSettings) {
  const child = fork(join(import.meta.dirname, 'crowd.ts'), [JSON.stringify(settings)], { env: CHILD_ENV })
  t.teardown(() => void child.kill())
  const ended = once(child, 'exit').then(() => {
    throw new Error('a process of the crowd has ended')
  })
  ended.catch(() => {})
  let counts: Record<string, number> = {}
  const reports = Promise.withResolvers<CrowdReport>()
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message: 'ready' | { report: CrowdReport } | Record<string, number>) => {
      if (message === 'ready') resolve()
      else if ('report' in message) reports.resolve(message.report as CrowdReport)
      else counts = message
    })
  })
  await Promise.race([ready, ended])
  return {
    counts: () => counts,
    end: () => {
      child.send('end')
      return Promise.race([reports.promise, ended])
    },
  }
}

/** Requests that the service has answered on the routes that caches store. */
async function requestsTo(service: Service): Promise<number> {
  const now = await scrape(service)
  const routes = now
    .samples()
    .filter((name) => /^usersync_http_request_duration_seconds_count.*(states\/current|exports\/:)/.test(name))
  return routes.reduce((sum, name) => sum + now.value(name), 0)
}

/** One commit that changes, adds and deletes users. Returns when it was sent, and the state that it leads to. */
async function change({ sql }: Service): Promise<{ sentAt: number; state: string }> {
  const sentAt = performance.timeOrigin + performance.now()
  await sql.begin(async (tx) => {
    await tx`update users set role = gen_random_uuid() where pool_id = 1 and id in (select id from users where pool_id = 1 order by id limit 20)`
    await tx`delete from users where pool_id = 1 and id in (select id from users where pool_id = 1 order by id desc limit 5)`
    await tx`insert into users (username, email) select name, name || '@example.com' from (
      select gen_random_uuid()::text as name from generate_series(1, 5)) n`
  })
  const [row] = await sql<{ state: string }[]>`
    select state from states where batch_id = ${ANY_BATCH} and test_users_only and not bulk_users_only
    order by version desc limit 1`
  return { sentAt, state: row?.state ?? '' }
}

for (const { name, skip, start } of CACHES) {
  t.test(`${clients} clients follow ${users} users through ${name}`, { skip }, async (t) => {
    const service = await startService(t)
    const { url } = await start(t, service.url)
    const body = { count: users, config: { password_hash: { algorithm: 'none' } } }
    await service.call('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
    const settings = { url, query: 'pool=default', clients: clients / PROCESSES, pollMs: POLL_MS }
    const crowds = await Promise.all(Array.from({ length: PROCESSES }, () => startCrowd(t, settings)))

    const before = await requestsTo(service)
    const began = performance.now()
    const made: Awaited<ReturnType<typeof change>>[] = []
    for (let n = 1; n <= changes; n++) {
      await sleep(Math.max(0, n * CHANGE_EVERY_MS - (performance.now() - began)))
      made.push(await change(service))
    }
    const last = made.at(-1)?.state ?? ''
    const have = () => crowds.reduce((sum, { counts }) => sum + (counts()[last] ?? 0), 0)
    for (const deadline = Date.now() + WAIT_MS; have() < clients && Date.now() < deadline; ) await sleep(50)
    const seconds = (performance.now() - began) / 1000
    const requests = (await requestsTo(service)) - before
    const reports = await Promise.all(crowds.map(({ end }) => end()))

    t.equal(have(), clients, 'all clients have the last state')
    for (const { checked } of reports)
      t.type(checked, 'number', `every body leads from its base to its state: ${checked}`)
    const periods = Math.max(changes, seconds / (CHANGE_EVERY_MS / 1000))
    t.ok(requests <= MAX_REQUESTS * periods, `${requests} requests to the service in ${seconds.toFixed(1)} s`)
    t.comment(JSON.stringify(reports.map(({ others }) => others)))
    const delays = made.map(({ sentAt, state }) =>
      reports
        .flatMap(({ reached }) => reached[state] ?? [])
        .map((at) => at - sentAt)
        .toSorted((a, b) => a - b),
    )
    for (const all of delays) {
      const [median = 0, p99 = 0, max = 0] = [0.5, 0.99, 1].map((part) => all[Math.ceil(part * all.length) - 1])
      const line = `${all.length} clients after ${median.toFixed()} ms (median), ${p99.toFixed()} (p99), ${max.toFixed()} (last)`
      if (byHand) t.ok(all.length === clients && max <= MAX_DELAY_MS, line)
      else t.comment(line)
    }
  })
}
