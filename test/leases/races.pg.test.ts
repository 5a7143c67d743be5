import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../http/service.ts'
import { type OpenTransaction, openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { addUsers, type Lease, leaseService, makePool, PATIENT, problem } from './pool.ts'

const t = suite()

/* Two things at once, in an order that a lock of the test forces. */

const service = await leaseService(t)
const other = await startService(t, { ...PATIENT, DATABASE_URL: service.databaseUrl, MAX_WORKERS: '1' })
const { call, sql } = service
const take = (pool: string, members: object = {}, at = service) =>
  at.call<Lease>('POST', '/v1/leases', { body: { pool, ...members } })
const renew = (pool: string, { id, fence }: Lease) => call('POST', `/v1/leases/${id}/renew`, { body: { pool, fence } })
const giveBack = (pool: string, { id, fence }: Lease, at = service, body: object = { outcome: 'clean' }) =>
  at.call('POST', `/v1/leases/${id}/return`, { body: { pool, fence, ...body } })
const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json

/** Runs `work` while `rows` are locked, and resolves with its result. The lock ends as soon as `work` waits for it and `until` resolves. */
async function whileLocked<Result>(
  rows: 'leases' | 'lease_users',
  id: string,
  work: () => Promise<Result>,
  until = async () => {},
) {
  let result: Promise<Result> | undefined
  await sql.begin(async (tx) => {
    if (rows === 'leases') await tx`select from leases where id = ${id} for update`
    else await tx`select from lease_users where user_id = ${id} for update`
    result = work()
    while (!(await isWaiting())) await sleep(5)
    await until()
  })
  return result as Promise<Result>
}

/** Whether a statement of a lease waits for a lock. */
async function isWaiting(): Promise<boolean> {
  const rows = await sql`
    select from pg_stat_activity
    where datname = current_database() and application_name = 'usersync leases' and wait_event_type = 'Lock'`
  return rows.length > 0
}

t.test('a renewal that waits past the end of the lease comes too late', async (t) => {
  const pool = await makePool(service, 1)
  const { json: lease } = await take(pool, { ttl_seconds: 2 })
  const expired = () => sleep(Math.max(0, Date.parse(lease.expires_at) - Date.now()) + 200)
  t.match(await whileLocked('leases', lease.id, () => renew(pool, lease), expired), problem(409, 'lease_lost'))
  t.equal((await take(pool, { wait_seconds: 20 })).status, 201)
})

t.test('the sweep does not end a lease that is renewed at that moment', async (t) => {
  const pool = await makePool(service, 1)
  const { json: lease } = await take(pool, { ttl_seconds: 1 })
  await sql.begin(async (tx) => {
    await tx`update leases set expires_at = now() + interval '1 minute' where id = ${lease.id}`
    await sleep(Math.max(0, Date.parse(lease.expires_at) - Date.now()) + 100)
    t.match(await take(pool), problem(409, 'users_exhausted'), 'the row is locked')
  })
  t.match(await take(pool), problem(409, 'users_exhausted'))
  t.equal((await giveBack(pool, lease)).status, 200)
})

t.test('two returns of one lease: the users are freed once', async (t) => {
  const pool = await makePool(service, 2)
  const { json: lease } = await take(pool, { count: 2 })
  const answers = await whileLocked('leases', lease.id, () =>
    Promise.all([giveBack(pool, lease), giveBack(pool, lease, other, { outcome: 'dirty' })]),
  )
  t.strictSame(
    answers.map(({ status }) => status),
    [200, 200],
  )
  const counts = answers.map(({ json }) => (json as { returned_count: number }).returned_count)
  t.strictSame(counts.toSorted(), [0, 2])
  const { free, dirty } = await stats(pool)
  t.ok((free === 2 && dirty === 0) || (free === 0 && dirty === 2))
})

t.test('a return of some users and of all at once: each user has one outcome', async (t) => {
  const pool = await makePool(service, 2)
  const { json: lease } = await take(pool, { count: 2 })
  const users = [{ id: lease.users[0]?.id, outcome: 'dirty' }]
  const both = () => Promise.all([giveBack(pool, lease, service, { users }), giveBack(pool, lease, other)])
  const answers = await whileLocked('leases', lease.id, both)
  t.strictSame(
    answers.map(({ status }) => status),
    [200, 200],
  )
  const { free = 0, dirty = 0, leased } = await stats(pool)
  t.match({ all: free + dirty, leased }, { all: 2, leased: 0 })
})

t.test('a user whose row is locked is skipped, and not waited for', async (t) => {
  const pool = await makePool(service, 2)
  const { json: lease } = await take(pool, { count: 2 })
  await giveBack(pool, lease)
  const [locked, free] = lease.users.map(({ id }) => id)
  await sql.begin(async (tx) => {
    await tx`select from lease_users where user_id = ${locked ?? ''} for update`
    t.match((await take(pool)).json.users, [{ id: free }])
    t.match(await take(pool), problem(409, 'users_exhausted'))
  })
  t.match((await take(pool)).json.users, [{ id: locked }])
})

t.test('a return while the user is deleted does not wait for the deletion, and the user is not granted', async (t) => {
  const pool = await makePool(service, 1)
  const { json: lease } = await take(pool)
  await sql.begin(async (tx) => {
    await tx`delete from users where id = ${lease.users[0]?.id ?? ''}`
    t.equal((await giveBack(pool, lease)).status, 200)
  })
  t.match(await take(pool, { partial: true }), problem(409, 'users_exhausted'))
})

t.test('two replicas at once share the users of a small pool, and nobody is refused while some are free', async (t) => {
  const pool = await makePool(service, 50)
  await take(pool, { ttl_seconds: 1 })
  for (let round = 0; round < sized(3, 10); round++) {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) => take(pool, { wait_seconds: 5 }, n % 2 === 0 ? service : other)),
    )
    t.equal(new Set(answers.map(({ json }) => json.users[0]?.id)).size, 40)
    await Promise.all(answers.map(({ json }, n) => giveBack(pool, json, n % 3 === 0 ? service : other)))
  }
})

t.test('a waiting request hears of users that another replica frees', async (t) => {
  const pool = await makePool(service, 1)
  const { json: lease } = await take(pool)
  const waiting = take(pool, { wait_seconds: 20 })
  await sleep(100)
  await giveBack(pool, lease, other)
  t.equal((await waiting).status, 201)
  const more = take(pool, { wait_seconds: 20 }, other)
  await addUsers(sql, pool, 1, 2)
  t.equal((await more).status, 201)
})

t.test('a pool is deleted while its users are granted, or read: nothing of it stays', async (t) => {
  const rowsOf = async (poolId: number) => {
    const counts: Record<string, number> = {}
    for (const table of ['leases', 'lease_users', 'lease_pools'])
      counts[table] = (await sql`select from ${sql(table)} where pool_id = ${poolId}`).length
    return counts
  }
  const deletePool = (pool: string) => call('DELETE', `/v1/pools/${pool}`)
  const isDeleting = async () => {
    const rows = await sql`
      select from pg_stat_activity
      where datname = current_database() and application_name = 'usersync' and wait_event_type = 'Lock'`
    return rows.length > 0
  }
  /** Makes a pool with a user that is read, and one that is not yet. Deletes it while `hold` has a lock of it. */
  async function during(
    hold: (tx: OpenTransaction, poolId: number) => Promise<unknown>,
    then = async (_pool: string): Promise<unknown> => undefined,
  ) {
    const pool = await makePool(service, 2)
    const { json } = await take(pool, { count: 2 })
    await giveBack(pool, json)
    const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
    const poolId = row?.id ?? 0
    const tx = await openTransaction(t, sql)
    await hold(tx, poolId)
    const deleted = deletePool(pool)
    while (!(await isDeleting())) await sleep(5)
    await then(pool)
    await tx.commit()
    t.equal((await deleted).status, 204)
    t.strictSame(await rowsOf(poolId), { leases: 0, lease_users: 0, lease_pools: 0 })
  }
  const lockFirst = (tx: OpenTransaction, poolId: number) => tx`
    select from lease_users where pool_id = ${poolId} order by user_id limit 1 for update`
  await during(lockFirst, (pool) => take(pool, {}, other))
  await during(async (tx, poolId) => {
    await tx`select from lease_pools where pool_id = ${poolId} for update`
    await tx`insert into lease_users (pool_id, user_id, draw) values (${poolId}, uuid_v7(), 0)` // as fillStep does
  })
})
