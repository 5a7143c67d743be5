import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { sweepLeases } from '../../src/leases/end-leases.ts'
import { fillStep, isInStep } from '../../src/leases/fill.ts'
import { finishResets } from '../../src/leases/finish-resets.ts'
import { forgetLeases } from '../../src/leases/forget.ts'
import { connectForLeases } from '../../src/leases/leasing-connections.ts'
import type { Watched } from './every-statement.ts'

interface Lease {
  id: string
  fence: number
  users: { id: string; batch_id: string }[]
}

/** Runs the statements of leases. `users` is about how many users the pool has. */
export async function runLeaseStatements(
  t: Test,
  { service: { call }, sql, url, poolId, step }: Watched,
  users: number,
): Promise<void> {
  const direct = connectForLeases({ url, schema: 'usersync', waitMs: 5_000 })
  t.teardown(() => direct.end())
  const post = async (path: string, body: object, headers = {}): Promise<Lease> => {
    const answer = await call<Lease>('POST', `/v1/leases${path}`, { body: { pool: 'later', ...body }, headers })
    if (answer.status >= 300) throw new Error(`${path} answers ${answer.status}: ${answer.raw}`)
    return answer.json
  }
  const giveBack = ({ id, fence }: Lease, outcome = 'clean') => post(`/${id}/return`, { fence, outcome })
  const untilInStep = async () => {
    while (!(await isInStep(sql, poolId))) await sleep(20)
  }

  // Plans of a moment at which the table had few users, all of them free. PostgreSQL keeps them until the next ANALYZE.
  await sql`
    insert into lease_users (pool_id, user_id, draw)
    select p.id, uuid_v7(), 0 from pools p, generate_series(1, 3) where p.name = 'default'`
  await sql`analyze lease_users, leases`
  await sweepLeases(direct, poolId)
  await step('the first lease of a pool', users, async () => {
    await giveBack(await post('', { count: 3 }))
    await untilInStep()
  })
  await step('a sweep that finds nothing in a pool that has grown', 1, () => sweepLeases(direct, poolId))
  // Statistics of a moment at which everybody was leased, of a table that has grown since.
  await sql`update lease_users set status = 'leased', batch_id = null where pool_id = ${poolId}`
  await sql`analyze lease_users, leases`
  await sql`
    update lease_users l set status = 'free', batch_id = u.batch_id from users u
    where l.pool_id = ${poolId} and u.pool_id = l.pool_id and u.id = l.user_id`
  await sql`vacuum lease_users` // as autovacuum does after changes of the whole table
  const lease = await step('leases in every order', 40, async () => {
    const first = await post('', { count: 10 })
    const [user] = first.users
    // Several times at random: a walk that begins near the end of the order reads little even without its index.
    for (const order of ['least_used', 'random', 'random', 'random', 'sequence']) {
      await post('', { count: 10, order, ttl_seconds: 600 })
      await post('', { count: 10, order: 'least_used', filter: { batch_id: user?.batch_id } })
    }
    return first
  })
  await step('leases by attributes and role', users, async () => {
    for (const filter of [{ attributes: { plan: 'gold' } }, { attributes: { plan: 'tin' } }, { role: 'nobody' }]) {
      await call('POST', '/v1/leases', { body: { pool: 'later', count: 10, filter } })
    }
  })
  await step('counts', users, () => call('GET', '/v1/leases/stats?pool=later'))
  await step('a lease that is used', 40, async () => {
    const headers = { 'idempotency-key': 'one' }
    const { id, fence } = await post('', { count: 10, include: ['password', 'totp_code'] }, headers)
    const { users: again } = await post('', { count: 10, include: ['password', 'totp_code'] }, headers)
    await post(`/${id}/renew`, { fence })
    await post(`/${id}/return`, { fence, users: again.slice(0, 5).map((user) => ({ id: user.id, outcome: 'dirty' })) })
    for (let times = 0; times < 2; times++) await giveBack({ id, fence, users: [] })
    const whole = await post('', { count: 2 })
    const all = whole.users.map((user) => ({ id: user.id, outcome: 'clean' }))
    await post(`/${whole.id}/return`, { fence: whole.fence, users: all })
    await call('GET', `/v1/leases/${id}?pool=later`)
    await call('GET', `/v1/users/${again[0]?.id}/leases?pool=later&limit=1`)
    await call('GET', '/v1/users/01890000-0000-7000-8000-ffffffffffff/leases?pool=later')
    const { json } = await call<{ next_cursor: string }>('GET', '/v1/leases?pool=later&limit=2')
    await call('GET', `/v1/leases?pool=later&limit=2&cursor=${json.next_cursor}`)
    await call('GET', '/v1/leases?pool=later&active=true')
    await post('/reset', { filter: { role: 'nobody' } })
    await post('/reset', {})
    await call('DELETE', `/v1/leases/${lease.id}?pool=later`)
  })
  await step('a reset that waits for a target', 40, async () => {
    const members = { name: 'gone', kind: 'postgres', url: 'postgres://nobody@127.0.0.1:1/gone', preset: 'django' }
    await call('POST', '/v1/targets', { body: { pool: 'later', ...members } })
    const { id, fence, users: held } = await post('', { count: 10 })
    await sql`
      insert into sink_users (pool_id, target, user_id, external, is_due)
      select ${poolId}, 'gone', id, '[]', false from unnest(${held.map((user) => user.id)}::uuid[]) id`
    await post(`/${id}/return`, { fence, outcome: 'dirty' })
    t.match(await post('/reset', {}), { waiting_count: 10, targets: ['gone'] })
    await call('DELETE', '/v1/targets/gone?pool=later&force=true')
    await finishResets(direct, poolId, '00000000-0000-0000-0000-000000000000')
  })
  await step('the Simple Table Server', users, async () => {
    const sts = async (command: string) => {
      const { raw } = await call('GET', `/sts/${command}&FILENAME=later&COLUMNS=username`)
      const [, line] = /<title>OK<.*\n<body>(.*)<\/body>/.exec(raw.toString()) ?? []
      if (line === undefined) throw new Error(`${command}: ${raw}`)
      return line
    }
    const line = await sts('READ?KEEP=FALSE')
    await sts(`ADD?LINE=${encodeURIComponent(line)}`)
    await sts('READ?KEEP=FALSE')
    await sts('INITFILE?')
    await call('GET', '/sts/STATUS')
  })
  await step('leases that expire', 20, async () => {
    const { id } = await post('', { count: 10, ttl_seconds: 1 })
    for (let status = 'active'; status !== 'expired'; await sleep(200)) {
      ;({ status } = (await call<{ status: string }>('GET', `/v1/leases/${id}?pool=later`)).json)
    }
    await sleep(1_200) // the sweep
  })
  await step('commits that are followed', 60, async () => {
    const held = await post('', { count: 10 })
    const some = (from: number) => sql`select 'u' || ${from}::int + n from generate_series(1, 20) n`
    await sql`delete from users where pool_id = ${poolId} and id = any(${held.users.map(({ id }) => id)})`
    await sql`delete from users where pool_id = ${poolId} and username = any(${some(1_000)})`
    await sql`update users set role = 'seen' where pool_id = ${poolId} and username = any(${some(1_100)})`
    await untilInStep()
    await giveBack(held)
  })
  await step('a pool whose commits are forgotten', users, async () => {
    await sql`update states set pruned_at = now() where pool_id = ${poolId}`
    await sql`update lease_pools set version = 0 where pool_id = ${poolId}`
    while (await fillStep(direct, poolId, { leasesEnded() {} })) {}
  })
  await step('leases that are forgotten', 200, () => forgetLeases(direct, poolId, 0))
}
