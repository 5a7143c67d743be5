import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'
import { DJANGO } from './systems.ts'

const t = suite()

/* Users in Django's own table, from their creation to their removal. */

const USERS = sized(300, 5_000)
const service = await sinkService(t)
const { call, sql } = service
const system = await startSystem(t, DJANGO)
const { create, sync, clear, failures, status, batch } = sinkRoutes(service)

const own = () => system.sql`select * from auth_user where password = 'own' order by id`
const before = [...(await own())]

/** Our users as they must be in auth_user, and as they are there. */
async function compare() {
  const wanted = await sql`
    select u.username, u.email, c.password_hash as password, u.created_at::text as date_joined
    from users u join credentials c on c.pool_id = u.pool_id and c.id = u.credential_id
    where u.username not like 'own%' order by u.username`
  const found = await system.sql`
    select username, email, password, date_joined::text from auth_user
    where password <> 'own' and is_active and not is_staff and not is_superuser order by username`
  return { wanted: [...wanted], found: [...found] }
}

async function inStep(t: Test, what: string, users: number): Promise<void> {
  const { wanted, found } = await compare()
  t.equal(found.length, users, `${what}: ${users} users`)
  t.strictSame(found, wanted, what)
  t.strictSame([...(await own())], before, `${what}: the system's own rows are untouched`)
}

t.test('users are created with the hashes of an export, and a repeated run does nothing', async (t) => {
  t.match(await create({ name: 'django', url: system.url, preset: 'django' }), {
    status: 201,
    json: { kind: 'postgres', limits: { batch: 5000 }, mapping: { tables: [{ table: 'auth_user' }] } },
  })
  await batch(USERS)
  t.match(await status('django'), { in_step: false, remote_state: null })
  t.match(await sync('django'), { status: 'succeeded', kind: 'full', added_count: USERS, failure: null })
  await inStep(t, 'created', USERS)
  t.match(await status('django'), { in_step: true })
  t.match(await sync('django'), { status: 'succeeded', kind: 'unchanged', added_count: 0, updated_count: 0 })
})

t.test('changed users are changed, and deleted ones removed, with their first ids', async (t) => {
  const ids = await system.sql`select id, username from auth_user where password <> 'own' order by id`
  await sql`update users set email = 'new' || email where username < 'u14'`
  await sql`update users set username = 'renamed' || username where username >= 'u20' and username < 'u22'`
  const { count: deleted } = await sql`delete from users where username >= 'u22' and username < 'u25'`
  const { count: changed } = await sql`select from users where email like 'new%' or username like 'renamed%'`
  const run = await sync('django')
  t.match(run, { status: 'succeeded', kind: 'delta', added_count: 0, updated_count: changed, deleted_count: deleted })
  await inStep(t, 'changed', USERS - deleted)
  const kept = await system.sql`select id from auth_user where username like 'renamed%' order by id`
  const renamed = ids.filter(({ username }) => username >= 'u20' && username < 'u22').map(({ id }) => ({ id }))
  t.strictSame([...kept], renamed)
})

t.test('a username of the system’s own is a failure, and the row stays as it is', async (t) => {
  const count = (await compare()).found.length
  const { id } = (
    await call<{ id: string }>('POST', '/v1/batches', {
      body: { count: 3, config: { username_pattern: 'own{n}@example.com', password_hash: { algorithm: 'none' } } },
      headers: { prefer: 'wait=60' },
    })
  ).json
  t.match(await sync('django'), { status: 'failed', failure: 'users_refused', added_count: 0 })
  t.match(await failures('django'), Array(3).fill({ code: 'credential_missing', operation: 'create' }))
  await sql`
    update users set credential_id = (select min(id) from credentials) where username like 'own%'`
  t.match(await sync('django'), { status: 'failed', failure: 'users_refused', detail: /refused 3 users/ })
  t.match(await failures('django'), [
    { code: 'exists_already', username: 'own1@example.com', operation: 'create' },
    { code: 'exists_already', username: 'own2@example.com' },
    { code: 'exists_already', username: 'own3@example.com' },
  ])
  await inStep(t, 'refused', count)
  t.match(await status('django'), { in_step: false })
  await system.sql`update auth_user set username = 'other' where username = 'own3@example.com'`
  t.match(await sync('django'), { status: 'failed', added_count: 1 }, 'tried again')
  await system.sql`delete from auth_user where username = 'own3@example.com'`
  await system.sql`update auth_user set username = 'own3@example.com' where username = 'other'`
  await call('DELETE', `/v1/batches/${id}`)
  t.match(await sync('django'), { status: 'succeeded', failure: null })
  t.strictSame(await failures('django'), [])
  await inStep(t, 'deleted here', count)
})

t.test('clear removes what is ours, except what other rows refer to', async (t) => {
  const [user] = await system.sql`select id, username from auth_user where password <> 'own' limit 1`
  await system.sql`insert into auth_group (name) values ('g')`
  await system.sql`insert into auth_user_groups (user_id, group_id) values (${user?.['id']}, 1)`
  await call('PATCH', '/v1/targets/django', { body: { interval_seconds: 3_600 } })
  t.match(await clear('django'), { clear: true, status: 'failed', failure: 'users_refused' })
  const detail = `refer to username ${user?.['username']}: table auth_user_groups, constraint auth_user_groups_user_id`
  t.match(await failures('django'), [{ code: 'still_referenced', detail }])
  t.match(await call('DELETE', '/v1/targets/django'), { status: 409, json: { code: 'target_holds_users' } })
  await system.sql`delete from auth_user_groups`
  t.match(await clear('django'), { status: 'succeeded', deleted_count: 1 })
  t.strictSame([...(await system.sql`select * from auth_user order by id`)], before)
  t.match((await call('GET', '/v1/targets/django')).json, { interval_seconds: null })
  t.match(await status('django'), { in_step: false, remote_state: null })
  t.equal((await sync('django')).added_count, (await compare()).wanted.length, 'a run puts them back')
  await clear('django')
  t.equal((await call('DELETE', '/v1/targets/django')).status, 204)
})
