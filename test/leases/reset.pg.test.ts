import { setTimeout as sleep } from 'node:timers/promises'
import { finishResets } from '../../src/leases/finish-resets.ts'
import { sinkRoutes, startSystem } from '../sinks/sink.ts'
import { DJANGO } from '../sinks/systems.ts'
import { suite } from '../suite.ts'
import { type Lease, leaseService } from './pool.ts'

const t = suite()

/* A reset puts users right in the system under test that has them, and frees them only afterwards. */

const FIRST_ID = '00000000-0000-0000-0000-000000000000'

const service = await leaseService(t)
const { call, sql } = service
const system = await startSystem(t, DJANGO)
const { create, batch, sync, failures, status } = sinkRoutes(service)
await create({ name: 'shop', url: system.url, preset: 'django' })
await batch(10)
await sync('shop')

interface Stats {
  free: number
  dirty: number
  consumed: number
  resetting: number
}

const post = <Json>(path: string, body: object) => call<Json>('POST', `/v1/leases${path}`, { body })
const reset = async (body = {}) => (await post<object>('/reset', body)).json
const rowsOf = async (names: string[]) => [
  ...(await system.sql`
    select username, password, email, is_staff from auth_user where username = any(${names}) order by username`),
]

/** Counts the users. Not by the API, which uses a count that took long for a while. */
async function stats(): Promise<Stats> {
  const [row] = await sql<[Stats]>`
    select (count(*) filter (where status = 'free'))::int as free, (count(*) filter (where status = 'dirty'))::int as dirty,
      (count(*) filter (where status = 'consumed'))::int as consumed, (select count(*)::int from lease_resets) as resetting
    from lease_users`
  return row
}

/** Waits until the counts are as wanted, for a minute. The pauses grow, because a run may start a second later. */
async function until(wanted: Partial<Stats>): Promise<void> {
  const names = Object.keys(wanted) as (keyof Stats)[]
  const deadline = Date.now() + 60_000
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    const found = await stats()
    if (names.every((name) => found[name] === wanted[name])) return
    if (Date.now() > deadline) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`)
    await sleep(pauseMs)
  }
}

/** Leases users, changes them in the system as a load test may do, and returns them. Returns their names and rows before. */
async function spoil(count: number, outcome = 'dirty') {
  const { json: lease } = await post<Lease>('', { count })
  const names = lease.users.map(({ username }) => username)
  const before = await rowsOf(names)
  await system.sql`update auth_user set password = 'changed', is_staff = true where username = any(${names})`
  await post(`/${lease.id}/return`, { fence: lease.fence, outcome })
  return { names, before }
}

/** Blocks the writes of a user in the system. */
async function block(name: string): Promise<() => Promise<unknown>> {
  const locker = await system.sql.reserve()
  await locker`begin`
  await locker`select from auth_user where username = ${name} for update`
  return async () => {
    await locker`commit`
    locker.release()
  }
}

/** Waits until a transaction waits for the lock of `block`. */
async function untilBlocked(): Promise<void> {
  for (;;) {
    const rows = await system.sql`
      select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
    if (rows.length > 0) return
    await sleep(5)
  }
}

t.test('users are free after their password and attributes are as they should be, and not before', async (t) => {
  const { names, before } = await spoil(3)
  const { names: others, before: othersBefore } = await spoil(2, 'consumed')
  await system.sql`delete from auth_user where username = ${others[0] ?? ''}`
  const unblock = await block(names[0] ?? '')
  t.strictSame(await reset(), { freed_count: 0, waiting_count: 5, targets: ['shop'] })
  await untilBlocked()
  const finished = await finishResets(sql, 1, FIRST_ID)
  t.match(finished, { freed: 0, failed: 0 })
  t.match(await stats(), { free: 5, dirty: 3, consumed: 2, resetting: 5 })
  t.match(await call('GET', '/v1/leases/stats'), { json: { resetting: 5 } })
  t.match(await post('', { count: 6 }), { status: 409, json: { code: 'users_exhausted' } })
  t.match(await reset(), { waiting_count: 5 })
  t.equal((await sql`select from sink_resends where run_id is null`).length, 5, 'requested again, for the next run')
  await unblock()
  await until({ free: 10, dirty: 0, consumed: 0, resetting: 0 })
  t.strictSame(await rowsOf(names), before)
  t.strictSame(await rowsOf(others), othersBefore, 'a user that is gone there is created again')
  t.match(await status('shop'), { in_step: true })
  t.strictSame(await reset(), { freed_count: 0, waiting_count: 0, targets: [] })
})

t.test('a reset during a run is for the next run', async (t) => {
  await sql`update users set email = 'new' || email where id in (select id from users order by id desc limit 1)`
  const [last] = await sql<{ username: string }[]>`select username from users order by id desc limit 1`
  const unblock = await block(last?.username ?? '')
  const run = sync('shop')
  await untilBlocked()
  const { names, before } = await spoil(2)
  t.match(await reset(), { waiting_count: 2 })
  t.match(await reset(), { waiting_count: 2 }, 'and may be repeated')
  t.match(await finishResets(sql, 1, FIRST_ID), { freed: 0, failed: 0 })
  await unblock()
  await run
  await until({ free: 10 })
  t.strictSame(await rowsOf(names), before)
})

t.test('a reset with a filter frees only the users that the filter selects', async (t) => {
  await spoil(2)
  t.match(await reset({ filter: { role: 'nobody' } }), { freed_count: 0, waiting_count: 0 })
  t.match(await stats(), { dirty: 2, resetting: 0 })
  t.match(await reset({ filter: { role: 'user' } }), { waiting_count: 2 })
  await until({ free: 10 })
})

t.test('a user that the target refuses stays dirty, and the others are free', async (t) => {
  const { names } = await spoil(3)
  await system.sql.unsafe(
    `alter table auth_user add constraint no_login check (username <> '${names[1]}' or password = 'changed')`,
  )
  await reset()
  await until({ free: 9, dirty: 1, resetting: 0 })
  t.match(await failures('shop'), [{ username: names[1], code: 'refused', operation: 'update' }])
  await system.sql`alter table auth_user drop constraint no_login`
  await sync('shop')
  t.match(await stats(), { dirty: 1 }, 'the reset is over')
  t.match(await reset(), { waiting_count: 1 })
  await until({ free: 10 })
})

t.test('a delivery whose end is not known is not done', async (t) => {
  await spoil(1)
  await sql.begin(async (tx) => {
    const users = tx`select user_id from lease_users where status = 'dirty'`
    await tx`insert into lease_resets select 1, user_id from (${users}) u`
    await tx`insert into sink_resends select 1, 'shop', user_id, uuid_v7() from (${users}) u`
    await tx`insert into sink_announcements select 1, 'shop', '3', array_agg(user_id) from (${users}) u`
  })
  await until({ dirty: 1, resetting: 0 })
  t.match(await reset(), { waiting_count: 1 })
  await until({ free: 10 })
})

t.test('a target that cannot be written keeps its users for its run only, and none after its deletion', async (t) => {
  await spoil(2)
  await system.sql`alter table auth_user rename to renamed`
  await reset()
  await until({ free: 8, dirty: 2, resetting: 0 })
  await system.sql`alter table renamed rename to auth_user`
  const [user] = await sql<{ username: string }[]>`
    select username from users u join lease_users l on l.user_id = u.id where l.status = 'dirty' order by id limit 1`
  const unblock = await block(user?.username ?? '')
  t.match(await reset(), { waiting_count: 2 })
  await untilBlocked()
  t.equal((await call('DELETE', '/v1/targets/shop?force=true')).status, 204)
  await until({ free: 10, resetting: 0 })
  await unblock()
  t.strictSame([...(await sql`select from sink_resends`)], [])
  await spoil(1)
  t.strictSame(await reset(), { freed_count: 1, waiting_count: 0, targets: [] })
})
