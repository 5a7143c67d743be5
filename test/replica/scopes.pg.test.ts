import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Who may make a pool a replica, and which users an export may put there. These changes were tried, and fail here:
 * accepting an export from a key without `admin` into a pool that was not declared; a replica of test users without the
 * check of its users; its deletions without the check of who is a test user.
 */

const { call, sql } = await sharedService(t, WITH_KEYS)

const NDJSON = { 'content-type': 'application/x-ndjson' }
const put = (key: string, pool: string, body: string) =>
  call('PUT', `/v1/replica/users?pool=${pool}`, { headers: { ...as(key), ...NDJSON }, body })

/** Creates a pool with these users. Returns the export of all users, and of the test users. */
async function exportsOf(name: string, users: [name: string, isTest: boolean][]) {
  await call('POST', '/v1/pools', { headers: as('root'), body: { name } })
  for (const [username, isTest] of users) {
    await sql`
      insert into users (pool_id, username, email, is_test_user)
      select id, ${username}, ${username}, ${isTest} from pools where name = ${name}`
  }
  const read = async (query: string) =>
    (await call('GET', `/v1/users/export?format=ndjson&pool=${name}${query}`, { headers: as('root') })).raw.toString()
  return { whole: await read('&test_users_only=false'), testUsers: await read('') }
}
const mixed = await exportsOf('mixed', [
  ['chief@real-company.com', false],
  ['a@example.com', true],
])
const real = await exportsOf('real', [['somebody@real-company.com', true]])
const two = await exportsOf('two', [['a@example.com,chief@real-company.test', true]])
const none = await exportsOf('none', [])

const usersOf = async (pool: string) => {
  const users = await sql<{ username: string }[]>`
    select username from users u join pools p on p.id = u.pool_id where p.name = ${pool} order by username`
  return users.map(({ username }) => username)
}
const declare = (name: string, replica: string) =>
  call('POST', '/v1/pools', { headers: as('root'), body: { name, replica } })

t.test('a key with users:write cannot make a pool a replica, and the attempt changes nothing', async (t) => {
  await declare('undeclared', 'none')
  for (const body of [mixed.whole, mixed.testUsers, real.testUsers, none.whole]) {
    t.match(await put('maker', 'undeclared', body), { status: 403, json: { code: 'forbidden', detail: /PATCH/ } })
  }
  t.strictSame(await usersOf('undeclared'), [])
  t.match(await call('GET', '/v1/pools/undeclared', { headers: as('root') }), { json: { replica: 'none' } })
  t.match(await put('root', 'undeclared', mixed.whole), { status: 200 })
  t.match(await call('GET', '/v1/pools/undeclared', { headers: as('root') }), { json: { replica: 'everything' } })
})

t.test('a replica of test users accepts test users of reserved domains from any key', async (t) => {
  await declare('tester', 'test_users')
  for (const key of ['maker', 'root']) {
    const refused = { status: 422, json: { code: 'export_invalid' } }
    t.match(await put(key, 'tester', mixed.whole), refused, 'not a test user')
    t.match(await put(key, 'tester', two.testUsers), refused, 'two addresses in one')
    t.match(await put(key, 'tester', real.testUsers), { status: 422, json: { code: 'domain_not_reserved' } })
  }
  t.strictSame(await usersOf('tester'), [])
  t.match(await put('maker', 'tester', mixed.testUsers), { status: 200, json: { counts: { added: 1 } } })
})

t.test('users that are not test users stay in a replica of test users', async (t) => {
  await declare('protected', 'test_users')
  await sql`
    insert into users (pool_id, username, email, is_test_user)
    select id, 'ceo@real-company.com', 'ceo@real-company.com', false from pools where name = 'protected'`
  t.match(await put('maker', 'protected', mixed.testUsers), { status: 200, json: { total_count: 1 } })
  t.strictSame(await usersOf('protected'), ['a@example.com', 'ceo@real-company.com'])
  t.match(await put('maker', 'protected', none.whole), { status: 200, json: { counts: { deleted: 1 } } })
  t.strictSame(await usersOf('protected'), ['ceo@real-company.com'])

  const state = `u1-${'0'.repeat(64)}`
  const [ceo] = await sql<{ id: string }[]>`select id from users where username = 'ceo@real-company.com'`
  const head = { kind: 'delta', base: state, state, total_count: 0, counts: { added: 0, updated: 0, deleted: 1 } }
  const delta = [head, { deleted: ceo?.id }, { end: state, lines: 0 }].map((line) => JSON.stringify(line)).join('\n')
  t.match(await put('maker', 'protected', `${delta}\n`), { status: 200, json: { counts: { deleted: 0 } } })
  t.strictSame(await usersOf('protected'), ['ceo@real-company.com'], 'a delta cannot delete one by its id either')

  const read = await call('GET', '/v1/replica/users?pool=protected', { headers: as('reader') })
  t.match(read, { status: 200, headers: { 'usersync-state': state } })
  t.notMatch(read.raw.toString(), /ceo/)
})

t.test('a replica of everything can be read and written only with admin', async (t) => {
  await declare('mirror', 'everything')
  t.match(await put('maker', 'mirror', mixed.whole), { status: 403, json: { code: 'forbidden' } })
  t.match(await put('root', 'mirror', mixed.whole), { status: 200, json: { total_count: 2 } })
  const get = (key: string) => call('GET', '/v1/replica/users?pool=mirror', { headers: as(key) })
  t.match(await get('reader'), { status: 403, json: { code: 'forbidden' } })
  t.match((await get('root')).raw.toString(), /chief@real-company\.com/)
  t.match(await put('maker', 'mirror', none.whole), { status: 403 })
  t.match(await put('root', 'mirror', none.whole), { status: 200, json: { counts: { deleted: 2 } } })
})
