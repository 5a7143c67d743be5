import { suite } from '../suite.ts'
import { APPLICATION, FUSIONAUTH_KEY, startFusionAuth } from './fakes/fusionauth.ts'
import { KEYCLOAK_CLIENT, startKeycloak } from './fakes/keycloak.ts'
import { startKratos } from './fakes/kratos.ts'
import { ARGON2ID, sinkRoutes, sinkService } from './sink.ts'

const t = suite()

/* What single kinds of APIs need beside what api-kinds.pg.test.ts tests of all, against the same servers. */

const service = await sinkService(t)
const { call, sql } = service
const client = {
  key: KEYCLOAK_CLIENT.client_secret,
  mapping: { realm: 'shop', client_id: KEYCLOAK_CLIENT.client_id },
}

/** A pool of its own for a test. */
async function makePool(name: string) {
  await call('POST', '/v1/pools', { body: { name } })
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${name}`
  return { poolId: row?.id ?? 0, ...sinkRoutes(service, name) }
}

t.test('a FusionAuth behind a proxy that has lost it: its empty 404 removes nobody', async (t) => {
  const system = await startFusionAuth(t)
  const { poolId, create, sync, status, batch } = await makePool('lost')
  const id = await batch(2)
  await create({ kind: 'fusionauth', name: 's', url: system.url, key: FUSIONAUTH_KEY })
  t.match(await sync('s'), { status: 'succeeded', added_count: 2 })
  let isGone = false
  system.disturb = (_, { method }) => {
    isGone ||= method === 'PUT'
    return isGone ? { status: 404 } : undefined
  }
  await sql`update users set role = 'vip' where pool_id = ${poolId}`
  t.match(await sync('s'), { status: 'failed', failure: 'not_understood' }, 'at a change')
  await call('DELETE', `/v1/batches/${id}?pool=lost`)
  system.disturb = () => ({ status: 404 })
  t.match(await sync('s'), { status: 'failed', failure: 'not_understood', deleted_count: 0 })
  t.match(await status('s'), { in_step: false })
  let isLost = false
  system.disturb = (_, { method }) => {
    isLost ||= method === 'DELETE'
    return isLost ? { status: 404 } : undefined
  }
  t.match(await sync('s'), { status: 'failed', failure: 'not_understood', deleted_count: 0 }, 'in the middle of a run')
  system.disturb = () => undefined
  t.equal(system.users.size, 2)
  t.match(await sync('s'), { status: 'succeeded', deleted_count: 2 })
  t.equal(system.users.size, 0)
})

t.test('a changed role reaches the registration at FusionAuth, also one that somebody removed', async (t) => {
  const system = await startFusionAuth(t)
  const { poolId, create, sync, batch } = await makePool('registrations')
  await batch(2)
  await create({
    kind: 'fusionauth',
    name: 's',
    url: system.url,
    key: FUSIONAUTH_KEY,
    mapping: { application_id: APPLICATION },
  })
  t.match(await sync('s'), { status: 'succeeded', added_count: 2 })
  const roles = () => [...system.users.values()].map((user) => user.roles)
  t.strictSame(roles(), [['user'], ['user']])
  const [first] = system.users.values()
  delete first?.roles
  await sql`update users set role = 'vip' where pool_id = ${poolId}`
  t.match(await sync('s'), { status: 'succeeded', updated_count: 2 })
  t.strictSame(roles(), [['vip'], ['vip']])
})

t.test('of users whose names differ in case only, one arrives at Keycloak, and the other has no part', async (t) => {
  const system = await startKeycloak(t)
  const { poolId, create, sync, failures, batch } = await makePool('cases')
  await batch(1, { username_pattern: 'a', password_hash: ARGON2ID }) // sent first, alone, to see whether marks are kept
  await batch(2, { username_pattern: 'u{n}@example.com', password_hash: ARGON2ID })
  await sql`update users set username = case username when 'u1@example.com' then 'Ann' else 'ann' end
    where pool_id = ${poolId} and username like 'u%'`
  await create({ kind: 'keycloak', name: 's', url: system.url, ...client })
  t.match(await sync('s'), { status: 'failed', failure: 'users_refused', added_count: 2 })
  t.match(await failures('s'), [{ code: 'exists_already' }])
  await sql`delete from users where pool_id = ${poolId} and username = ${(await failures('s'))[0]?.username ?? ''}`
  t.match(await sync('s'), { status: 'succeeded', deleted_count: 0 })
  t.equal(system.users.size, 2)
})

t.test('a Keycloak that keeps usernames as they are is not in step after a user was renamed', async (t) => {
  const system = await startKeycloak(t, { editsUsernames: false })
  const { poolId, create, sync, failures, status, batch } = await makePool('renamed')
  await batch(2, { password_hash: ARGON2ID })
  await create({ kind: 'keycloak', name: 's', url: system.url, ...client })
  t.match(await sync('s'), { status: 'succeeded', added_count: 2 })
  await sql`update users set role = 'vip' where pool_id = ${poolId}`
  t.match(await sync('s'), { status: 'succeeded', updated_count: 2 })
  await sql`update users set username = 'ann' where pool_id = ${poolId} and id = (select max(id::text)::uuid from users where pool_id = ${poolId})`
  t.match(await sync('s'), { status: 'failed', failure: 'users_refused' })
  t.match(await failures('s'), [{ username: 'ann', operation: 'update', code: 'refused', detail: /edit usernames/ }])
  t.match(await status('s'), { in_step: false })
})

t.test('Keycloak says once a run that usernames can be edited, and not with each user', async (t) => {
  const system = await startKeycloak(t)
  const { poolId, create, sync, batch } = await makePool('editable')
  await batch(3, { password_hash: ARGON2ID })
  await create({ kind: 'keycloak', name: 's', url: system.url, ...client })
  t.match(await sync('s'), { status: 'succeeded', added_count: 3 })
  await sql`update users set username = 'new ' || username where pool_id = ${poolId}`
  let reads = 0
  system.disturb = (_, { method, path }) => {
    if (method === 'GET' && /\/users\/./.test(path)) reads++
    return undefined
  }
  t.match(await sync('s'), { status: 'succeeded', updated_count: 3 })
  t.equal(reads, 1)
  t.ok([...system.users.values()].every(({ username }) => username.startsWith('new ')))
})

t.test('per_second bounds what is sent at once', async (t) => {
  const system = await startKratos(t)
  const { create, sync, batch } = await makePool('paced')
  await batch(5, { password_hash: { algorithm: 'bcrypt', cost: 4 } })
  await create({ kind: 'kratos', name: 's', url: system.url, limits: { batch: 100, per_second: 4 } })
  const sizes: number[] = []
  system.disturb = (_, { method, text = '' }) => {
    if (method === 'PATCH') sizes.push(JSON.parse(text).identities.length)
    return undefined
  }
  t.match(await sync('s'), { status: 'succeeded', added_count: 5 })
  t.strictSame(sizes, [4, 1])
})
