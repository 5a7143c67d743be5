import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { StandbyFailure } from '../../src/database/sqlstate.ts'
import { createLine } from '../../src/leases/line.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { type Lease, leaseService, makePool, problem } from './pool.ts'

const t = suite()

/* Requests that wait for users: in which order they get them, and what is left of those that give up. */

const service = await leaseService(t)
const { call, sql, url } = service
const take = (pool: string, members: object = {}, headers = {}) =>
  call<Lease>('POST', '/v1/leases', { body: { pool, ...members }, headers })
const giveBack = (pool: string, { id, fence }: Lease) =>
  call('POST', `/v1/leases/${id}/return`, { body: { pool, fence, outcome: 'clean' } })
const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json

/** Waits until a count of the pool has this value, for 10 s. */
async function until(pool: string, name: string, value: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; (await stats(pool))[name] !== value; await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`${name} is ${JSON.stringify(await stats(pool))}, not ${value}`)
  }
}

/** Starts requests that wait, one after the other. They are in the line in this order. */
async function line(pool: string, members: object[]): Promise<Promise<Lease>[]> {
  const waiting: Promise<Lease>[] = []
  for (const each of members) {
    waiting.push(take(pool, { wait_seconds: 30, ...each }).then(({ json }) => json))
    await until(pool, 'waiting', waiting.length)
  }
  return waiting
}

const USERS = sized(30, 100)
const WAITING = USERS / 2

t.test(`${USERS + WAITING} callers and ${USERS} users: each gets one in the order of asking`, async (t) => {
  const pool = await makePool(service, USERS)
  const first = await Promise.all(Array.from({ length: USERS }, () => take(pool, { wait_seconds: 30 })))
  t.equal(new Set(first.map(({ json }) => json.users[0]?.id)).size, USERS)
  const waiting = await line(
    pool,
    Array.from({ length: WAITING }, (_, n) => ({ owner: `${n}` })),
  )
  const order: number[] = []
  for (const [n, lease] of waiting.entries()) void lease.then(() => order.push(n))
  const milliseconds: number[] = []
  for (const [n, lease] of waiting.entries()) {
    const begun = performance.now()
    await giveBack(pool, first[n]?.json as Lease)
    const { users } = await lease
    milliseconds.push(performance.now() - begun)
    t.equal(users[0]?.id, first[n]?.json.users[0]?.id)
  }
  t.strictSame(order, [...Array(WAITING).keys()])
  const median = milliseconds.toSorted((a, b) => a - b)[Math.floor(WAITING / 2)] ?? 0
  t.ok(median < 500, `half of them within ${median.toFixed(1)} ms after a return`)
})

t.test('nobody overtakes a request for many, and who does not wait is refused', async (t) => {
  const pool = await makePool(service, 4)
  const held = await Promise.all([take(pool), take(pool), take(pool), take(pool)])
  const [many, one] = await line(pool, [{ count: 3 }, {}])
  let isServed = false
  void many?.then(() => {
    isServed = true
  })
  for (const { json } of held.slice(0, 2)) await giveBack(pool, json)
  t.match(await take(pool), problem(409, 'users_exhausted'))
  t.match(await take(pool, { partial: true, count: 9 }), problem(409, 'users_exhausted'))
  t.notOk(isServed)
  await giveBack(pool, held[2]?.json as Lease)
  t.equal((await many)?.users.length, 3)
  await giveBack(pool, held[3]?.json as Lease)
  t.equal((await one)?.users.length, 1)
})

t.test('a request that cannot be served does not stop those behind it', async (t) => {
  const pool = await makePool(service, 3)
  const answers = await Promise.all([
    take(pool, { count: 9 }),
    take(pool),
    take(pool, { count: 9 }),
    take(pool, { count: 2 }),
  ])
  t.strictSame(
    answers.map(({ status }) => status),
    [409, 201, 409, 201],
  )
})

t.test('a request after one for too many users is served, even if that one was slow', async (t) => {
  const pool = await makePool(service, 2)
  await giveBack(pool, (await take(pool)).json)
  const tooMany = await service.sql.begin(async (tx) => {
    await tx`lock table lease_users in access exclusive mode`
    const answer = take(pool, { count: 3 })
    await sleep(200)
    return { answer }
  })
  t.match(await tooMany.answer, problem(409, 'users_exhausted'))
  t.equal((await take(pool, { count: 2 })).status, 201)
})

t.test('who waits in vain is refused at the end of its time', async (t) => {
  const pool = await makePool(service, 1)
  await take(pool)
  const begun = performance.now()
  t.match(await take(pool, { wait_seconds: 0.3 }), problem(409, 'users_exhausted'))
  t.ok(performance.now() - begun > 290)
  await until(pool, 'waiting', 0)
})

t.test('users that expire go to the line', async (t) => {
  const pool = await makePool(service, 2)
  const dead = await take(pool, { count: 2, ttl_seconds: 1 })
  const { json } = await take(pool, { count: 2, wait_seconds: 10 })
  t.strictSame(json.users.map(({ id }) => id).toSorted(), dead.json.users.map(({ id }) => id).toSorted())
  t.ok(json.fence > dead.json.fence)
})

/** Sends a request and disconnects when `when` resolves. */
async function hangUp(pool: string, members: object, when: () => Promise<void>): Promise<void> {
  const sent = request(`${url}/v1/leases`, { method: 'POST', headers: { 'content-type': 'application/json' } })
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  sent.on('error', () => {}) // the missing response
  sent.on('close', resolve)
  sent.end(JSON.stringify({ pool, ...members }))
  await when()
  sent.destroy()
  await closed
}

t.test('a caller that disconnects leaves the line, and takes nobody with it', async (t) => {
  const pool = await makePool(service, 2)
  const held = await take(pool, { count: 2 })
  await hangUp(pool, { wait_seconds: 30 }, () => until(pool, 'waiting', 1))
  await until(pool, 'waiting', 0)
  await giveBack(pool, held.json)
  await until(pool, 'free', 2)
  t.match(await stats(pool), { leased: 0, waiting: 0 })
  await sql.begin(async (tx) => {
    await tx`lock table leases in access exclusive mode`
    await hangUp(pool, { ttl_seconds: 3_600 }, untilGranting)
    for (let n = 0; n < 5; n++) await call('GET', '/livez') // meanwhile the service sees that the client is gone
  })
  await until(pool, 'free', 2)
  const { json } = await call<{ items: { status: string }[] }>('GET', `/v1/leases?pool=${pool}`)
  t.match(json.items[0], { status: 'abandoned' })
})

/** Waits until a statement that grants leases waits for a lock. */
async function untilGranting(): Promise<void> {
  const waiting = () => sql`
    select from pg_stat_activity
    where datname = current_database() and query like '%with pool as materialized%' and wait_event_type = 'Lock'`
  while ((await waiting()).length === 0) await sleep(5)
}

t.test('a caller that disconnects during its statement does not count as waiting', async (t) => {
  const pool = await makePool(service, 1)
  await take(pool)
  const ends = { 'too few users': async () => false, 'no database': () => Promise.reject(new StandbyFailure()) }
  for (const [end, replenish] of Object.entries(ends)) {
    const caller = new AbortController()
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const line = createLine({
      sql,
      selection: { pool, batchId: undefined, role: undefined, attributes: {}, order: 'least_used' },
      inTurn: (work) => work().finally(resolve),
      replenish() {
        caller.abort() // the statement has found no user, and the line has not yet decided
        return replenish()
      },
    })
    t.teardown(() => line.close(new Error('the test is over')))
    line.enter({
      ...{ count: 1, partial: false, ttlSeconds: 60, owner: '', apiKey: null, idempotency: undefined },
      deadline: performance.now() + 30_000,
      left: caller.signal,
      settle: () => t.fail('settled'),
      fail: () => t.fail('failed'),
    })
    await ended
    t.ok(caller.signal.aborted)
    t.equal(line.waiting(), 0, end)
  }
})

t.test('an Idempotency-Key: a repetition gets the same lease, whatever became of the first response', async (t) => {
  const pool = await makePool(service, 5)
  const key = { 'idempotency-key': 'once' }
  const both = await Promise.all([take(pool, { count: 2 }, key), take(pool, { count: 2 }, key)])
  const [one, other] = both.map(({ json }) => json)
  t.strictSame(one, other)
  t.match(await stats(pool), { free: 3, leased: 2 })
  t.match(await take(pool, { count: 3 }, key), problem(422, 'idempotency_key_reused'))
  t.strictSame((await take(pool, { count: 2, include: [] }, key)).json, one)
  await giveBack(pool, one as Lease)
  t.match(await take(pool, { count: 2 }, key), problem(409, 'lease_lost'))
  t.match(await stats(pool), { free: 5, leased: 0 })
  t.match(await take(pool, { count: 6 }, { 'idempotency-key': 'none' }), problem(409, 'users_exhausted'))
  t.equal((await take(pool, { count: 5 }, { 'idempotency-key': 'none' })).status, 201, 'a refusal is not remembered')
})

t.test('while the database takes no writes, requests wait on', async (t) => {
  const pool = await makePool(service, 1)
  await sql`create sequence refused_writes` // a rolled back transaction counts too
  await sql`
    create function refuse_write() returns trigger language plpgsql set search_path from current as $$
    begin
      perform nextval('refused_writes');
      raise exception 'a standby takes no writes' using errcode = 'read_only_sql_transaction';
    end $$`
  await sql`create trigger read_only before insert on leases execute function refuse_write()`
  const writable = async () => {
    await sql`drop function if exists refuse_write cascade` // with its trigger
    await sql`drop sequence if exists refused_writes`
  }
  t.teardown(writable)

  t.match(await take(pool), problem(503, 'read_only'))
  const waiting = take(pool, { wait_seconds: 30 })
  const attempts = async () => Number((await sql`select last_value from refused_writes`)[0]?.last_value)
  for (const deadline = Date.now() + 10_000; (await attempts()) < 3 && Date.now() < deadline; ) await sleep(5)
  await writable()
  t.match(await waiting, { status: 201 })
})
