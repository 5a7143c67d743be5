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
 * The database is there, and the service cannot get at it. Whatever the way in which it fails, every request ends in time,
 * the process is alive, and when the way is open again nobody has to restart anything.
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
 * Silence on an open connection is borne for 3 s, and the question whether anybody is there for another 3 s; who shares a
 * look-up, or needs a second one, waits 5 s for a new connection after that.
 */
const SILENCE_TIMEOUT_MS = 12_500

/** A second is what it takes at most; this process and others take the processor meanwhile. */
const HEALTH_TIMEOUT_MS = 2_000

/** A wait for a connection is 5 s at the most. */
const MAX_WAIT_MS = 6_500

/**
 * Who shares a look-up may wait for the one before as well, and that one may be refused late: by a connection that was being
 * opened for a while already.
 */
const MAX_SHARED_WAIT_MS = 11_500

/** The second: an export that waited for a place among the exports. */
const UNAVAILABLE = /^(database_unavailable|overloaded)$/

async function checkRefused(t: Test, url: string, longest: number, what: string): Promise<void> {
  // Twice as many as there are connections, so that some wait in the line.
  const asked = [...PATHS, ...PATHS].map((path) => ask(url, path))
  const made = ask(url, '/v1/batches', { count: 1 })
  const health = Promise.all([ask(url, '/livez'), ask(url, '/readyz')])
  for (const answer of await health) t.ok(answer.ms < HEALTH_TIMEOUT_MS, `health within ${Math.round(answer.ms)} ms`)
  const [live, ready] = await health
  t.match({ live: live.status, ready: ready.status }, { live: 200, ready: 503 })
  const answers = await Promise.all([...asked, made])
  for (const { status, json, retryAfter } of answers) {
    t.match({ status, code: json.code, retryAfter }, { status: 503, code: UNAVAILABLE, retryAfter: /^\d+$/ })
  }
  const slowest = Math.max(...answers.map(({ ms }) => ms))
  t.ok(slowest < longest, `${what}: the last of ${answers.length} after ${Math.round(slowest)} ms`)
}

t.test('silent, closing or refusing: 503 in time, and back without a restart', async (t) => {
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
  await checkRefused(t, service.url, SILENCE_TIMEOUT_MS, 'silent on connections that were open')
  await checkRefused(t, service.url, MAX_SHARED_WAIT_MS, 'silent on new ones')
  await proxy.pass()
  await untilReady(service.url, 10)
  t.equal((await ask(service.url, '/v1/users?limit=1')).status, 200)

  proxy.hangUp()
  await checkRefused(t, service.url, MAX_WAIT_MS, 'closing')
  const before = proxy.came()
  await sleep(2_000)
  const each = (proxy.came() - before) / 2
  t.ok(each < 60, `no storm of connections: ${each} a second`)
  await proxy.pass()
  await untilReady(service.url, 10)

  await proxy.refuse()
  await checkRefused(t, service.url, MAX_WAIT_MS, 'refusing')
  await proxy.pass()
  await untilReady(service.url, 10)

  await checkExact(t, url, await untilEnded(service.url, id), USERS)
  t.equal(await service.end('SIGTERM'), 0)
})

t.test('all connections are busy with what takes its time: the others are told so, and it goes on', async (t) => {
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
  const asked = Array.from({ length: 12 }, () => ask(service.url, '/v1/users'))
  const settled = asked.map((answer) =>
    answer.then(
      (it) => it,
      () => undefined,
    ),
  )
  await sleep(5_000)
  const early = await Promise.all(settled.map((answer) => Promise.race([answer, sleep(0)])))
  const refused = early.filter((answer) => answer !== undefined)
  t.ok(refused.length >= 8 && refused.length < 12, `${12 - refused.length} are in work`)
  for (const { status, json, ms } of refused) {
    t.match({ status, code: json.code }, { status: 503, code: 'database_unavailable' })
    t.ok(ms > 1_900 && ms < 4_000, `after ${Math.round(ms)} ms`)
  }
  await lock`rollback`
  lock.release()
  const statuses = (await Promise.all(settled)).map((answer) => answer?.status)
  t.equal(statuses.filter((status) => status === 200).length, 12 - refused.length, 'those in work are not cut')
  await untilReady(service.url, 5)
  t.equal(await service.end('SIGTERM'), 0)
})
