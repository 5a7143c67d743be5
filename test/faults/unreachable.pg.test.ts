import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilMoving, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { startProxy } from './proxy.ts'

const t = suite()

/*
 * The database runs, but the service cannot reach it. However the connection fails, every request ends in time, the
 * process stays alive, and it recovers without a restart.
 */

t.setTimeout(180_000)

const USERS = sized(15_000, 40_000)

const PATHS = [
  '/v1/users',
  '/v1/users/export',
  '/v1/users/export?differential=false',
  '/v1/batches',
  '/v1/states/current',
]

/**
 * The service waits 3 s on a silent connection, and another 3 s for its keep-alive check. A request that shares a
 * look-up, or needs a second one, then waits 5 s for a new connection.
 */
const SILENCE_TIMEOUT_MS = 12_500

/** It takes at most a second, but this process and others use the CPU too. */
const HEALTH_TIMEOUT_MS = 2_000

/** The wait for a connection is at most 5 s. */
const MAX_WAIT_MS = 6_500

/**
 * A request that shares a look-up may also wait for the previous one, which may fail late because it waited for a
 * connection that was already being opened.
 */
const MAX_SHARED_WAIT_MS = 11_500

/** `overloaded`: an export that waited for a place. */
const UNAVAILABLE = /^(database_unavailable|overloaded)$/

async function checkRefused(t: Test, url: string, longest: number, what: string): Promise<void> {
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
  t.ok(slowest < longest, `${what}: the last of ${answers.length} after ${Math.round(slowest)} ms`)
}

t.test(
  'a silent, closing or refusing database leads to 503 in time, and the service recovers without a restart',
  async (t) => {
    const url = await testDatabase(t)
    const proxy = await startProxy(t, url)
    const service = await startServerProcess(t, {
      ...{
        DATABASE_URL: proxy.url,
        ENCRYPTION_KEY: '5e'.repeat(32),
        MAX_WORKERS: '2',
        DATABASE_CONNECTIONS: '5',
        EXPORT_CONCURRENCY: '2',
      },
    })
    const id = await beginBatch(service.url, USERS, { chunk_size: sized(200, 500) })
    await untilMoving(service.url, id)

    proxy.hold()
    await checkRefused(t, service.url, SILENCE_TIMEOUT_MS, 'silent on open connections')
    await checkRefused(t, service.url, MAX_SHARED_WAIT_MS, 'silent on new connections')
    await proxy.pass()
    await untilReady(service.url, 10)
    t.equal((await ask(service.url, '/v1/users?limit=1')).status, 200)

    proxy.hangUp()
    await checkRefused(t, service.url, MAX_WAIT_MS, 'closing')
    const before = proxy.accepted()
    await sleep(2_000)
    const each = (proxy.accepted() - before) / 2
    t.ok(each < 60, `no storm of connections: ${each} per second`)
    await proxy.pass()
    await untilReady(service.url, 10)

    await proxy.refuse()
    await checkRefused(t, service.url, MAX_WAIT_MS, 'refusing')
    await proxy.pass()
    await untilReady(service.url, 10)

    await checkExact(t, url, await untilEnded(service.url, id), USERS)
    t.equal(await service.end('SIGTERM'), 0)
  },
)

t.test('when all connections are busy, other requests get 503, and running ones complete', async (t) => {
  const url = await testDatabase(t)
  const service = await startServerProcess(t, {
    ...{
      DATABASE_URL: url,
      ENCRYPTION_KEY: '5e'.repeat(32),
      MAX_WORKERS: '1',
      DATABASE_CONNECTIONS: '4',
      EXPORT_CONCURRENCY: '1',
      WAIT_SECONDS: '2',
    },
  })
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const lock = await sql.reserve()
  await lock`begin`
  await lock`lock table users in access exclusive mode`
  const requests = Array.from({ length: 12 }, () => ask(service.url, '/v1/users'))
  const settled = requests.map((answer) =>
    answer.then(
      (it) => it,
      () => undefined,
    ),
  )
  await sleep(5_000)
  const early = await Promise.all(settled.map((answer) => Promise.race([answer, sleep(0)])))
  const refused = early.filter((answer) => answer !== undefined)
  t.ok(refused.length >= 8 && refused.length < 12, `${12 - refused.length} are running`)
  for (const { status, json, ms } of refused) {
    t.match({ status, code: json.code }, { status: 503, code: 'database_unavailable' })
    t.ok(ms > 1_900 && ms < 4_000, `after ${Math.round(ms)} ms`)
  }
  await lock`rollback`
  lock.release()
  const statuses = (await Promise.all(settled)).map((answer) => answer?.status)
  t.equal(statuses.filter((status) => status === 200).length, 12 - refused.length, 'running requests are not cut')
  await untilReady(service.url, 5)
  t.equal(await service.end('SIGTERM'), 0)
})
