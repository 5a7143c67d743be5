import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { connect } from '../../src/database/connection.ts'
import { StandbyFailure } from '../../src/database/sqlstate.ts'
import { createCounts } from '../../src/leases/counts.ts'
import { createLine, type Line, type Ticket } from '../../src/leases/line.ts'
import { createLines } from '../../src/leases/lines.ts'
import { requestLease } from '../../src/leases/request-lease.ts'
import { leftSignal } from '../../src/leases/routes.ts'
import type { Selection } from '../../src/leases/selection.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { addUsers, type Lease, leaseService, makePool, problem } from './pool.ts'

const t = suite()

/* Each request for users is answered once, whatever goes wrong meanwhile, and a lease that nobody got ends. */

const service = await leaseService(t)
const { call, sql, url } = service
const take = (pool: string, members: object = {}, headers = {}) =>
  call<Lease>('POST', '/v1/leases', { body: { pool, ...members }, headers })
const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json
const selectionOf = (pool: string): Selection => ({
  ...{ pool, batchId: undefined, role: undefined, attributes: {}, order: 'least_used' },
})
const observer = { leaseRequested() {}, leasesEnded() {} }

/** The answer; undefined if there is none after 10 s. */
const soon = <Answer>(answer: Promise<Answer>) => Promise.race([answer, sleep(10_000, undefined, { ref: false })])

async function until(isTrue: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await isTrue()); await sleep(5))
    if (Date.now() > deadline) throw new Error('waited in vain')
}

/** Returns the connections for leases whose statement has this text, and waits for a lock. */
const blocked = (text: string) => sql<{ pid: number }[]>`
  select pid from pg_stat_activity
  where datname = current_database() and application_name = 'usersync leases' and wait_event_type = 'Lock'
    and query like ${`%${text}%`}`

/** A request of a line, and how often it was answered. */
function ticketOf(count: number): Ticket & { answers: unknown[] } {
  const answers: unknown[] = []
  return {
    ...{ count, partial: false, ttlSeconds: 60, owner: '', apiKey: null, idempotency: undefined, answers },
    deadline: performance.now() + 30_000,
    left: new AbortController().signal,
    settle: (decision) => void answers.push(decision),
    fail: (error) => void answers.push(error),
  }
}

const lineOf = (pool: string, replenish: () => Promise<boolean>): Line =>
  createLine({ sql, selection: selectionOf(pool), inTurn: (work) => work(), replenish })

t.test('a client leaves before its request is in the line: a repetition with its key is answered', async (t) => {
  const pool = await makePool(service, 0)
  const headers = { 'content-type': 'application/json', 'idempotency-key': 'left' }
  const tx = await openTransaction(t, sql)
  await tx`lock table leases in access exclusive mode`
  const sent = request(`${url}/v1/leases`, { method: 'POST', headers }).on('error', () => {})
  const closed = new Promise((resolve) => void sent.on('close', resolve))
  sent.end(JSON.stringify({ pool, wait_seconds: 20 }))
  await until(async () => (await blocked('idempotency_digest as digest')).length > 0)
  sent.destroy()
  await closed
  for (let n = 0; n < 5; n++) await call('GET', '/livez') // meanwhile the service sees that the client is gone
  await tx.commit()
  for (let n = 0; n < 5; n++) await stats(pool) // and the request goes on
  t.match(await soon(take(pool, {}, headers)), problem(409, 'users_exhausted'))
})

t.test('a client that has left before its route began counts as left', async (t) => {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer((_request, response) => {
    response.once('close', () => resolve(leftSignal({ raw: response } as FastifyReply).aborted))
    sent.destroy()
  }).listen(0, '127.0.0.1')
  t.teardown(() => void server.close())
  await once(server, 'listening')
  const sent = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }).on('error', () => {})
  sent.end()
  t.ok(await promise)
})

t.test('a client leaves while too many others wait: nothing else ends', async (t) => {
  const lines = createLines(sql, observer)
  t.teardown(() => lines.close())
  const pool = await makePool(service, 0)
  for (let batch = 0; batch < 5; batch++) {
    const batchId = `01890000-0000-7000-8000-00000000000${batch}`
    for (let n = 0; n < 200; n++) lines.enter({ ...selectionOf(pool), batchId }, ticketOf(1))
  }
  await until(() => lines.waiting() === 1_000)
  const faults: unknown[] = []
  const note = (fault: unknown) => void faults.push(fault)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const leaving = new AbortController()
  const leasing = { sql, lines, counts: createCounts(sql), encryptionKey: Buffer.alloc(32), observer }
  const asked = { count: 1, partial: false, ttlSeconds: 60, waitSeconds: 9, owner: '', apiKey: null, include: [] }
  const body = { selection: selectionOf(pool), ...asked, key: undefined }
  await t.rejects(requestLease(leasing, body, leaving.signal), { code: 'overloaded' })
  leaving.abort()
  await sleep(1)
  t.strictSame(faults, [])
})

t.test('all who stand in a line behind one that waits count as waiting', async (t) => {
  const pool = await makePool(service, 1)
  const line = lineOf(pool, () => Promise.resolve(false))
  t.teardown(() => line.close(new Error('the test is over')))
  for (let n = 0; n < 25; n++) line.enter(ticketOf(100))
  await until(() => line.waiting() > 0)
  t.equal(line.waiting(), 25)
})

t.test('the database is lost after a grant: who has a lease gets no other', async (t) => {
  const pool = await makePool(service, 3)
  await take(pool, { count: 4 }) // the users are prepared
  const [first, one, two] = [ticketOf(1), ticketOf(1), ticketOf(2)]
  let looks = 0
  const line = lineOf(pool, () => (++looks === 1 ? Promise.reject(new StandbyFailure()) : Promise.resolve(false)))
  t.teardown(() => line.close(new Error('the test is over')))
  for (const ticket of [first, one, two]) line.enter(ticket) // the second statement serves two
  await until(() => looks > 1)
  t.equal(one.answers.length, 1)
  t.match(await stats(pool), { free: 1, leased: 2 })
  t.equal(line.waiting(), 1)
})

t.test('a line is closed during a statement: its requests fail and do not wait', async (t) => {
  const pool = await makePool(service, 0)
  const over = new Error('over')
  const waiting = ticketOf(1)
  const line = lineOf(pool, () => {
    line.close(over)
    return Promise.resolve(false)
  })
  line.enter(waiting)
  await until(() => waiting.answers.length > 0)
  t.strictSame(waiting.answers, [over])
  t.ok(line.isIdle())
})

t.test('while the service stops, requests are served, and told to go elsewhere where they would wait', async (t) => {
  const lines = createLines(sql, observer)
  lines.close()
  const pool = await makePool(service, 1)
  await take(pool, { count: 2 }) // the users are prepared
  const [served, late] = [ticketOf(1), ticketOf(1)]
  for (const ticket of [served, late]) {
    lines.enter(selectionOf(pool), ticket)
    await until(() => ticket.answers.length > 0)
  }
  t.match(served.answers, [{ user_count: 1 }])
  t.match(late.answers, [{ code: 'shutting_down' }])
})

t.test('two requests with one key at once, and too few users for both: the same lease', async (t) => {
  for (const [users, members] of [
    [5, { count: 5 }],
    [8, { count: 5, partial: true }],
  ] as const) {
    const pool = await makePool(service, users)
    const headers = { 'idempotency-key': 'both' }
    const both = await soon(Promise.all([take(pool, members, headers), take(pool, members, headers)]))
    if (!both) return t.fail('no answer')
    t.equal(both[0].status, 201)
    t.strictSame(both[0].json, both[1].json)
  }
})

t.test('an error after the grant: the lease ends', async (t) => {
  const pool = await makePool(service, 1)
  const tx = await openTransaction(t, sql)
  await tx`lock table credentials in access exclusive mode`
  const answer = take(pool, { include: ['password'], ttl_seconds: 3_600 })
  await until(async () => (await blocked('credentials')).length > 0)
  for (const { pid } of await blocked('credentials')) await sql`select pg_terminate_backend(${pid})`
  t.match(await answer, { status: 503 })
  await tx.commit()
  await until(async () => (await stats(pool))['free'] === 1)
})

t.test('a count that failed is not used again', async (t) => {
  const pool = await makePool(service, 3)
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
  const impatient = connect({
    ...{ url: service.databaseUrl, schema: 'usersync', connections: 1, name: 'impatient', lockTimeoutMs: 200 },
  })
  t.teardown(() => impatient.end())
  const counts = createCounts(impatient)
  const tx = await openTransaction(t, sql)
  await tx`lock table lease_users in access exclusive mode`
  await t.rejects(counts(row?.id ?? 0, selectionOf(pool)))
  await tx.commit()
  t.match(await counts(row?.id ?? 0, selectionOf(pool)), { free: 3 })
})

t.test('new users take long to read: a user that comes back meanwhile is granted', async (t) => {
  const pool = await makePool(service, 1)
  const { json: held } = await take(pool)
  const tx = await openTransaction(t, sql)
  await tx`select from lease_pools l join pools p on p.id = l.pool_id where p.name = ${pool} for update of l`
  await addUsers(sql, pool, 1, 2) // cannot be read because of the lock
  const waiting = take(pool, { wait_seconds: 30 })
  await until(async () => (await blocked('lease_pools')).length > 0)
  await call('POST', `/v1/leases/${held.id}/return`, { body: { pool, fence: held.fence, outcome: 'clean' } })
  t.match(await waiting, { status: 201, json: { users: [{ id: held.users[0]?.id }] } })
  await tx.commit()
})
