import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type Answer, ask, beginBatch, untilEnded, untilMoving, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { startProxy } from './proxy.ts'

const t = suite()

/*
 * The database runs, but the service cannot reach it. However the connection fails, every request ends in time, the
 * process stays alive, and it recovers without a restart.
 */

const USERS = sized(5_000, 20_000)

const PATHS = [
  '/v1/users',
  '/v1/users/export',
  '/v1/users/export?differential=false',
  '/v1/batches',
  '/v1/states/current',
]

/** 3 s in production, and 5 s instead of WAIT_SECONDS. */
const PACE = { silenceMs: 400 }
const WAIT_SECONDS = '1'

/**
 * The service waits 0.4 s on a silent connection, another 0.4 s for its keep-alive check, and 1 s for a connection. A
 * request that shares a look-up, or needs a second one, waits twice. The rest is for slow machines: without these
 * limits, a request waits for 15 minutes.
 */
const MAX_WAIT_MS = 10_000

/** It takes at most a second, and does not wait for a connection of the requests. */
const HEALTH_TIMEOUT_MS = 5_000

/** `overloaded`: an export that waited for a place. */
const UNAVAILABLE = /^(database_unavailable|overloaded)$/

async function checkRefused(t: Test, url: string, what: string): Promise<void> {
  // Twice as many requests as connections, so that some are queued.
  const requests = [...PATHS, ...PATHS].map((path) => ask(url, path))
  const made = ask(url, '/v1/batches', { count: 1 })
  const health = Promise.all([ask(url, '/livez'), ask(url, '/readyz')])
  for (const answer of await health) t.ok(answer.ms < HEALTH_TIMEOUT_MS, `health within ${Math.round(answer.ms)} ms`)
  const [live, ready] = await health
  t.match({ live: live.status, ready: ready.status }, { live: 200, ready: 503 })
  const answers = await Promise.all([...requests, made])
  for (const { status, json, retryAfter } of answers) {
    t.match({ status, code: json.code, retryAfter }, { status: 503, code: UNAVAILABLE, retryAfter: /^\d+$/ })
  }
  const slowest = Math.max(...answers.map(({ ms }) => ms))
  t.ok(slowest < MAX_WAIT_MS, `${what}: the last of ${answers.length} after ${Math.round(slowest)} ms`)
}

t.test(
  'a silent, closing or refusing database leads to 503 in time, and the service recovers without a restart',
  async (t) => {
    const url = await testDatabase()
    const proxy = await startProxy(t, url)
    const settings = {
      ...{
        DATABASE_URL: proxy.url,
        MAX_WORKERS: '2',
        DATABASE_CONNECTIONS: '5',
        EXPORT_CONCURRENCY: '2',
        WAIT_SECONDS,
      },
    }
    const service = await startService(t, settings, PACE)
    const id = await beginBatch(service.url, USERS, { chunk_size: sized(100, 250) })
    await untilMoving(service.url, id)

    proxy.hold()
    await checkRefused(t, service.url, 'silent on open connections')
    await checkRefused(t, service.url, 'silent on new connections')
    await proxy.pass()
    await untilReady(service.url)
    t.equal((await ask(service.url, '/v1/users?limit=1')).status, 200)

    proxy.hangUp()
    await checkRefused(t, service.url, 'closing')
    const before = proxy.accepted()
    await sleep(1_000)
    const each = proxy.accepted() - before
    t.ok(each < 60, `no storm of connections: ${each} per second`)
    await proxy.pass()
    await untilReady(service.url)

    await proxy.refuse()
    await checkRefused(t, service.url, 'refusing')
    await proxy.pass()
    await untilReady(service.url)

    await checkExact(t, url, await untilEnded(service.url, id), USERS)
  },
)

t.test('when all connections are busy, other requests get 503, and running ones complete', async (t) => {
  const service = await startService(
    t,
    { MAX_WORKERS: '1', DATABASE_CONNECTIONS: '4', EXPORT_CONCURRENCY: '1', WAIT_SECONDS },
    { lockTimeoutMs: 60_000 },
  )
  const lock = await openTransaction(t, service.sql)
  await lock`lock table users in access exclusive mode`
  const refused: Answer[] = []
  const requests = Array.from({ length: 12 }, async () => {
    const answer = await ask(service.url, '/v1/users')
    if (answer.status !== 200) refused.push(answer)
    return answer.status
  })
  // The other four have a connection, and wait for the lock.
  for (const deadline = Date.now() + MAX_WAIT_MS; refused.length < 8 && Date.now() < deadline; ) await sleep(20)
  t.equal(refused.length, 8)
  for (const { status, json, ms } of refused) {
    t.match({ status, code: json.code }, { status: 503, code: 'database_unavailable' })
    t.ok(ms > 900, `after ${Math.round(ms)} ms`)
  }
  await lock.rollback()
  const statuses = await Promise.all(requests)
  t.equal(statuses.filter((status) => status === 200).length, 4, 'running requests are not cut')
  await untilReady(service.url)
})
