import { startOwnPostgres } from '../faults/own-postgres.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { suite } from '../suite.ts'
import { type Lease, makePool, problem } from './pool.ts'

const t = suite()

/* The database restarts, and a replica is killed. */

t.setTimeout(120_000)

const pg = await startOwnPostgres(t)
const settings = { DATABASE_URL: pg.url, MAX_WORKERS: '1', ENCRYPTION_KEY: 'e1'.repeat(32), DATABASE_CONNECTIONS: '8' }

const service = await startService(t, settings)
const { call } = service
const take = (pool: string, members: object = {}) => call<Lease>('POST', '/v1/leases', { body: { pool, ...members } })
const renew = (pool: string, { id, fence }: Lease) => call('POST', `/v1/leases/${id}/renew`, { body: { pool, fence } })

t.test('the database is killed and comes back: leases are what they were, and requests wait on', async (t) => {
  const pool = await makePool(service, 3)
  const { json: long } = await take(pool, { ttl_seconds: 600 })
  const { json: short } = await take(pool, { count: 2, ttl_seconds: 3 })
  const waiting = take(pool, { count: 2, wait_seconds: 30 })
  await pg.kill()
  const refused = await take(pool)
  t.match(refused, problem(503, 'database_unavailable'))
  t.match(refused.headers['retry-after'], /^\d+$/)
  await pg.start()
  const { status, json } = await waiting
  t.equal(status, 201)
  t.ok(json.fence > short.fence)
  t.strictSame(new Set(json.users.map(({ id }) => id)), new Set(short.users.map(({ id }) => id)))
  t.match(await renew(pool, long), { status: 200 })
  t.match(await renew(pool, short), problem(409, 'lease_lost'))
})

t.test('a replica is killed: its leases stay with their holders, and others serve them', async (t) => {
  const pool = await makePool(service, 2)
  const doomed = await startServerProcess(t, settings)
  const body = JSON.stringify({ pool, ttl_seconds: 600 })
  const headers = { 'content-type': 'application/json' }
  const lease = (await (await fetch(`${doomed.url}/v1/leases`, { method: 'POST', headers, body })).json()) as Lease
  await doomed.end('SIGKILL')
  t.match(await renew(pool, lease), { status: 200 })
  const { json: other } = await take(pool)
  t.not(other.users[0]?.id, lease.users[0]?.id)
  t.match(await take(pool), problem(409, 'users_exhausted'))
})
