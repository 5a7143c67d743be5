import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '../database-proxy.ts'
import { type Answer, type Request, startService } from '../http/service.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { pairDatabase } from './replicated.ts'

const t = suite()

/* The address of the database leads to a standby for a while, as in a switch-over. */

const { urls, sql, there } = await pairDatabase(t)
const portOf = (url: string) => Number(new URL(url).port)
const proxy = await startProxy(t, portOf(urls.primary))
const address = Object.assign(new URL(urls.primary), { port: String(proxy.port) })
const { call, log } = await startService(t, { DATABASE_URL: address.href, WAIT_SECONDS: '30' }, { expiryMs: 50 })
const [user] = await sql<{ id: string }[]>`
  insert into users (username, email) values ('ada', 'ada@example.com') returning id`

/** Waits up to a minute. The pauses grow, because the service itself pauses for seconds between its attempts. */
async function until(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = Date.now() + 60_000
  for (let pauseMs = 10; Date.now() < deadline; pauseMs = Math.min(pauseMs * 1.5, 200)) {
    if (await condition()) return true
    await sleep(pauseMs)
  }
  return false
}

/** Sends a request again while it meets a connection that was cut. */
async function answerOf(method: string, path: string, request?: Request): Promise<Answer<{ code?: string }>> {
  for (;;) {
    const answer = await call<{ code?: string }>(method, path, request)
    if (answer.json?.code !== 'database_unavailable') return answer
    await sleep(20)
  }
}

t.test('writes get 503 read_only, reads are answered, and work continues afterwards', async (t) => {
  const body = { count: 5, config: { password_hash: { algorithm: 'none' } } }
  const lock = await openTransaction(t, sql)
  await lock`lock table users in share mode` // so that the chunk is still open when the address changes
  const { json: batch } = await call<{ id: string }>('POST', '/v1/batches', { body })
  t.ok(
    await until(
      async () => (await there`select from batches where id = ${batch.id} and status = 'running'`).length > 0,
    ),
  )

  await proxy.redirect(portOf(urls.standby))
  const csv = { 'content-type': 'text/csv' }
  const writes: [string, string, Request?][] = [
    ['POST', '/v1/batches', { body }],
    ['PATCH', `/v1/users/${user?.id}`, { body: { role: 'x' } }],
    ['DELETE', `/v1/batches/${batch.id}`],
    ['POST', '/v1/pools', { body: { name: 'other' } }],
    ['POST', '/v1/leases', { body: {} }],
    ['POST', '/v1/users/import', { body: 'username,email\nbob,bob@example.com\n', headers: csv }],
  ]
  for (const [method, path, request] of writes) {
    const { status, headers, json } = await answerOf(method, path, request)
    t.match(
      { status, retryAfter: headers['retry-after'], json },
      { status: 503, retryAfter: /^\d+$/, json: { code: 'read_only', detail: /^The database takes no writes/ } },
      `${method} ${path}`,
    )
  }
  for (const path of ['/v1/users', '/v1/users/export', `/v1/users/${user?.id}`, '/v1/states/current', '/readyz']) {
    t.match(await answerOf('GET', path), { status: 200 }, path)
  }
  t.ok(await until(() => /"code":"read_only"[^\n]*"chunk failed, retrying"/.test(log.join(''))), 'workers retry')
  t.ok(await until(() => /"sqlstate":"25006"[^\n]*"expiry failed, retrying"/.test(log.join(''))), 'schedulers retry')

  await lock.rollback()
  await proxy.redirect(portOf(urls.primary))
  const isCompleted = async () =>
    (await call<{ status: string }>('GET', `/v1/batches/${batch.id}`)).json.status === 'completed'
  t.ok(await until(isCompleted))
  t.match(await answerOf('GET', '/v1/users/export'), { json: { total_count: 6 } }, 'each user once')
  t.match(await answerOf('POST', '/v1/batches', { body }), { status: 202 })
})
