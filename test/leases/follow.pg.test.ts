import { setTimeout as sleep } from 'node:timers/promises'
import { isInStep } from '../../src/leases/fill.ts'
import { forgetLeases } from '../../src/leases/forget.ts'
import { suite } from '../suite.ts'
import { addUsers, type Lease, leaseService, makePool, problem } from './pool.ts'

const t = suite()

/* Users are created, changed and deleted while they are leased, by requests and by plain SQL. */

const service = await leaseService(t)
const { call, sql } = service
const post = <Json = Lease>(path: string, body: object) => call<Json>('POST', path, { body })
const stats = async (pool: string) => (await call<Record<string, number>>('GET', `/v1/leases/stats?pool=${pool}`)).json
const renew = async (pool: string, { id, fence }: Lease) =>
  (await post<{ gone: string[]; changed: { id: string; role: string }[] }>(`/v1/leases/${id}/renew`, { pool, fence }))
    .json
const giveBack = (pool: string, { id, fence }: Lease) =>
  post(`/v1/leases/${id}/return`, { pool, fence, outcome: 'clean' })
const idOf = async (pool: string) =>
  (await sql<{ id: number }[]>`select id from pools where name = ${pool}`)[0]?.id ?? 0

/** Waits until the upkeep has read every change of the pool. */
async function untilInStep(pool: string): Promise<void> {
  const poolId = await idOf(pool)
  while (!(await isInStep(sql, poolId))) await sleep(10)
}

t.test('new users can be leased at once, however they are created', async (t) => {
  const pool = await makePool(service, 2)
  await post('/v1/leases', { pool, count: 2 })
  await addUsers(sql, pool, 3, 10)
  t.equal((await post('/v1/leases', { pool, count: 3 })).status, 201)
  const batch = { pool, count: 4, config: { password_hash: { algorithm: 'none' } } }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body: batch, headers: { prefer: 'wait=30' } })
  const lease = await post('/v1/leases', { pool, count: 4, filter: { batch_id: json.id.toUpperCase() } })
  t.equal(lease.status, 201)
  const ofBatch = (id: string) => call('GET', `/v1/leases/stats?pool=${pool}&batch_id=${id}`)
  t.match(await ofBatch(json.id), { status: 200, json: { free: 0, leased: 4 } })
  t.match(await ofBatch('00000000-0000-0000-0000-000000000000'), {
    json: { errors: [{ path: 'querystring.batch_id' }] },
  })
  t.match(await post('/v1/leases', { pool, partial: true }), problem(409, 'users_exhausted'))
})

t.test('a filter selects by batch, role and attributes, as users are now', async (t) => {
  const pool = await makePool(service, 20)
  const take = (filter: object, count = 1) => post('/v1/leases', { pool, count, filter, ttl_seconds: 600 })
  const gold = await take({ attributes: { plan: 'gold' } }, 10)
  t.equal(gold.status, 201)
  t.ok(
    gold.json.users.every(
      (user) => (user as unknown as { custom_attributes: { plan: string } }).custom_attributes.plan === 'gold',
    ),
  )
  const refused = await take({ attributes: { plan: 'gold' } })
  t.match(refused, problem(409, 'users_exhausted'))
  t.match(refused.json, { free: 0, leased: 10 }, 'counts are of the selected users')
  t.match(await take({ attributes: { plan: 'gold', n: 3 } }), problem(409, 'users_exhausted'))
  t.match((await take({ attributes: { n: 3, plan: 'free' } })).json.users, [{ username: 'u3' }])
  t.match(await take({ attributes: { n: '5' } }), problem(409, 'users_exhausted'), 'a text is not a number')
  t.match(await take({ role: 'admin' }), problem(409, 'users_exhausted'))
  await sql`update users set role = 'admin' where pool_id = ${await idOf(pool)} and username = 'u5'`
  t.match((await take({ role: 'admin' })).json.users, [{ username: 'u5' }])
  t.match((await take({ batch_id: '01890000-0000-7000-8000-000000000000' })).json, { code: 'users_exhausted', free: 0 })
})

t.test('a holder hears what became of its users', async (t) => {
  const pool = await makePool(service, 4)
  const { json: lease } = await post('/v1/leases', { pool, count: 4 })
  t.strictSame(await renew(pool, lease).then(({ gone, changed }) => [gone, changed]), [[], []])
  const [changed, gone, real, same] = lease.users.map(({ id }) => id)
  await call('PATCH', `/v1/users/${changed}?pool=${pool}`, { body: { role: 'changed' } })
  await call('DELETE', `/v1/users/${gone}?pool=${pool}`)
  await sql`update users set is_test_user = false where id = ${real ?? ''}`
  for (let times = 0; times < 2; times++) {
    const heard = await renew(pool, lease)
    t.strictSame(new Set(heard.gone), new Set([gone, real]))
    t.match(heard.changed, [{ id: changed, role: 'changed' }])
    t.equal(heard.changed.length, 1)
    await untilInStep(pool)
  }
  const { users } = (await call<Lease>('GET', `/v1/leases/${lease.id}?pool=${pool}`)).json
  t.strictSame(
    users.map(({ username }) => username),
    lease.users.map(({ id, username }) => (id === gone ? null : username)),
  )
  t.equal((await giveBack(pool, lease)).status, 200)
  t.match(await stats(pool), { free: 2, leased: 0 })
  const { json: rest } = await post('/v1/leases', { pool, count: 9, partial: true })
  t.strictSame(new Set(rest.users.map(({ id }) => id)), new Set([changed, same]))
  t.match((await call('GET', `/v1/users/${gone}/leases?pool=${pool}`)).json, {
    items: [{ lease_id: lease.id, ending: 'returned' }],
  })
})

t.test('a lease ends with the last of its users that exist, and a deleted one that is back is free', async (t) => {
  const pool = await makePool(service, 2)
  const poolId = await idOf(pool)
  const { json: lease } = await post('/v1/leases', { pool, count: 2 })
  const [gone, left] = lease.users.map(({ id }) => id)
  const give = (id: string | undefined) =>
    post(`/v1/leases/${lease.id}/return`, { pool, fence: lease.fence, users: [{ id, outcome: 'clean' }] })
  const read = async () => (await call<Lease>('GET', `/v1/leases/${lease.id}?pool=${pool}`)).json
  await untilInStep(pool)
  await sql.begin(async (tx) => {
    await tx`select from lease_pools where pool_id = ${poolId} for update` // nothing follows the deletion yet
    t.equal((await call('DELETE', `/v1/users/${gone}?pool=${pool}`)).status, 204)
    const statuses = { [gone ?? '']: 'gone', [left ?? '']: 'leased' }
    t.match(await read(), { status: 'active', users: lease.users.map(({ id }) => ({ id, status: statuses[id] })) })
    t.match(await give(left), { status: 200, json: { returned_count: 1, held_count: 0 } })
    t.match(await read(), { status: 'returned' })
    t.match(await give(gone), { status: 200, json: { returned_count: 0, held_count: 0 } })
    await sql`insert into users (pool_id, id, username, email) values (${poolId}, ${gone ?? ''}, 'back', 'back@example.com')`
  })
  await untilInStep(pool)
  t.match(await stats(pool), { free: 2, leased: 0 })
  t.equal((await post('/v1/leases', { pool, count: 2 })).status, 201)
})

t.test('a lease ends when its last user is deleted after the return of the others', async (t) => {
  const pool = await makePool(service, 2)
  const { json: lease } = await post('/v1/leases', { pool, count: 2, ttl_seconds: 3_600 })
  const [left, gone] = lease.users.map(({ id }) => id)
  await untilInStep(pool)
  const users = [{ id: left, outcome: 'clean' }]
  t.match(await post(`/v1/leases/${lease.id}/return`, { pool, fence: lease.fence, users }), { json: { held_count: 1 } })
  t.equal((await call('DELETE', `/v1/users/${gone}?pool=${pool}`)).status, 204)
  const read = async () => (await call<{ status: string }>('GET', `/v1/leases/${lease.id}?pool=${pool}`)).json.status
  for (const deadline = Date.now() + 20_000; (await read()) === 'active' && Date.now() < deadline; ) await sleep(20)
  t.equal(await read(), 'returned')
  t.match(await post(`/v1/leases/${lease.id}/return`, { pool, fence: lease.fence, users }), { status: 200 })
})

t.test('a user that was returned, deleted and is back is free, although its lease is alive', async (t) => {
  const pool = await makePool(service, 2)
  const { json: lease } = await post('/v1/leases', { pool, count: 2, ttl_seconds: 3_600 })
  const [back] = lease.users.map(({ id }) => id)
  await post(`/v1/leases/${lease.id}/return`, { pool, fence: lease.fence, users: [{ id: back, outcome: 'clean' }] })
  await call('DELETE', `/v1/users/${back}?pool=${pool}`)
  await untilInStep(pool)
  const poolId = await idOf(pool)
  await sql`insert into users (pool_id, id, username, email) values (${poolId}, ${back ?? ''}, 'back', 'back@example.com')`
  t.match((await post('/v1/leases', { pool })).json.users, [{ id: back }])
})

t.test('nothing stays of a deleted user whose leases are forgotten, and it is not reset any more', async (t) => {
  const pool = await makePool(service, 2)
  const poolId = await idOf(pool)
  const { json: lease } = await post('/v1/leases', { pool, count: 2 })
  await post(`/v1/leases/${lease.id}/return`, { pool, fence: lease.fence, outcome: 'dirty' })
  await untilInStep(pool)
  await forgetLeases(sql, poolId, 0)
  await sql.begin(async (tx) => {
    await tx`select from lease_pools where pool_id = ${poolId} for update` // nothing follows the deletion yet
    await tx`
      with deleted as (delete from users where pool_id = ${poolId} returning id)
      insert into lease_resets (pool_id, user_id) select ${poolId}, id from deleted`
  })
  await untilInStep(pool)
  for (const table of ['lease_users', 'lease_resets'])
    t.strictSame([...(await sql`select from ${sql(table)} where pool_id = ${poolId}`)], [], table)
})

t.test('a batch with leased users is deleted, and created again with the same ids', async (t) => {
  const pool = await makePool(service, 0)
  const config = {
    seed: 'again',
    epoch: '2026-01-01T00:00:00Z',
    username_pattern: 'p{n}@example.com',
    password_hash: { algorithm: 'none' },
  }
  const make = () =>
    call<{ id: string }>('POST', '/v1/batches', { body: { pool, count: 3, config }, headers: { prefer: 'wait=30' } })
  const { json: batch } = await make()
  const { json: held } = await post('/v1/leases', { pool, count: 2 })
  t.match(await call('DELETE', `/v1/batches/${batch.id}?pool=${pool}`), { json: { deleted_count: 3 } })
  t.match(await post('/v1/leases', { pool }), problem(409, 'users_exhausted'))
  t.equal((await renew(pool, held)).gone.length, 2)
  await untilInStep(pool)
  t.match((await make()).json, { id: batch.id, status: 'completed' })
  const { json: other } = await post('/v1/leases', { pool, count: 3, partial: true })
  t.equal(other.users.length, 1, 'the users of a lease that is alive stay with it')
  t.equal((await renew(pool, held)).changed.length, 2)
  await giveBack(pool, held)
  t.equal((await post('/v1/leases', { pool, count: 2 })).status, 201)
})

t.test('if the change log was pruned meanwhile, the users are read again', async (t) => {
  const pool = await makePool(service, 3)
  const { json: held } = await post('/v1/leases', { pool, count: 2 })
  await untilInStep(pool)
  const poolId = await idOf(pool)
  await sql.begin(async (tx) => {
    await tx`select from lease_pools where pool_id = ${poolId} for update`
    await tx`delete from users where pool_id = ${poolId} and id = ${held.users[0]?.id ?? ''}`
    await tx`insert into users (pool_id, username, email) values (${poolId}, 'new', 'new@example.com')`
    await tx`set constraints all immediate`
    await tx`update states set pruned_at = now() where pool_id = ${poolId}`
    await tx`delete from tombstones where pool_id = ${poolId}`
  })
  t.equal((await post('/v1/leases', { pool, count: 2 })).status, 201)
  await post(`/v1/leases/${held.id}/return`, { pool, fence: held.fence, outcome: 'dirty' })
  t.match(await stats(pool), { free: 0, leased: 2, dirty: 1 })
  t.match(await post('/v1/leases', { pool, count: 2, partial: true }), problem(409, 'users_exhausted'))
})

t.test('users that are not test users are never leased, whatever a filter says', async (t) => {
  const pool = await makePool(service, 1)
  const poolId = await idOf(pool)
  await sql`insert into users (pool_id, username, email, role, is_test_user) values (${poolId}, 'chief', 'chief@real.com', 'chief', false)`
  t.match(await post('/v1/leases', { pool, filter: { role: 'chief' } }), problem(409, 'users_exhausted'))
  t.equal((await post('/v1/leases', { pool, count: 9, partial: true })).json.users.length, 1)
})
