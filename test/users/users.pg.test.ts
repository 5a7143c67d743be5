import fc from 'fast-check'
import { anyCharacter } from '../any-character.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { listAll, type Page, type ListedUser as User } from './all-pages.ts'

const t = suite()

const { sql, call } = await sharedService(t)

const BATCH = '01890000-0000-7000-8000-000000000000'
const USERS = 1_200
await sql`
  insert into users (username, email, batch_id, created_by_bulk, role)
  select 'listed' || n, 'listed' || n || '@example.com', case when n <= 40 then ${BATCH}::uuid end, n <= 60, 'row "' || n || '"'
  from generate_series(1, ${USERS}::int) n`

let made = 0
/** Creates a user by plain SQL, and returns its id. */
async function makeUser(isTestUser = true, pool = 1): Promise<string> {
  const name = `made${++made}`
  const [row] = await sql<{ id: string }[]>`
    insert into users (pool_id, username, email, is_test_user, custom_attributes)
    values (${pool}, ${name}, ${`${name}@example.com`}, ${isTestUser}, '{"n": 1.50, "big": 12345678901234567890}')
    returning id`
  return row?.id ?? ''
}

const patch = <Json = User>(id: string, body: object | string) =>
  call<Json>('PATCH', `/v1/users/${id}`, { body, headers: { 'content-type': 'application/json' } })

t.test('a user is returned as its line in the export', async (t) => {
  const id = await makeUser()
  const answer = await call<User>('GET', `/v1/users/${id}`)
  t.match(answer, {
    status: 200,
    headers: { 'content-type': /^application\/json/ },
    json: {
      id,
      role: 'user',
      is_test_user: true,
      batch_id: null,
      created_by_bulk: false,
      created_at: /^\d{4}-.*\.\d{6}Z$/,
    },
  })
  t.strictSame(Object.keys(answer.json), [
    'id',
    'username',
    'email',
    'role',
    'is_test_user',
    'batch_id',
    'created_by_bulk',
    'custom_attributes',
    'created_at',
    'updated_at',
  ])
  t.match(answer.raw.toString(), '"n": 1.50', 'numbers keep their spelling')
  t.match(answer.raw.toString(), '12345678901234567890')
  const exported = await call('GET', '/v1/users/export?format=ndjson')
  t.ok(exported.raw.toString().split('\n').includes(answer.raw.toString()), 'the same text as in the export')
  t.strictSame((await call('GET', `/v1/users/${id.toUpperCase()}`)).raw, answer.raw)
})

t.test('a change keeps all other members', async (t) => {
  const id = await makeUser()
  const before = (await call<User>('GET', `/v1/users/${id}`)).json
  const changes: Partial<User & { custom_attributes: object; role: string }>[] = [
    { username: 'renamed ünïcode ☃' },
    { email: 'renamed@example.com' },
    { email: 'ünï"c(o)de☃🐉@a-1.ü.Example.COM' },
    { role: 'buyer' },
    { username: 'both', custom_attributes: { deep: [{ a: null }, 'é', 1e21, 2 ** 53, '1234567890123456789'] } },
  ]
  let expected: User & { custom_attributes?: object } = before
  for (const change of changes) {
    const { status, json } = await patch(id, change)
    t.equal(status, 200)
    t.ok(json.updated_at > expected.updated_at, 'updated_at increases')
    const custom_attributes = { ...expected.custom_attributes, ...change.custom_attributes }
    expected = { ...expected, ...change, custom_attributes, updated_at: json.updated_at }
    t.strictSame(json, expected, JSON.stringify(change))
    t.strictSame((await call('GET', `/v1/users/${id}`)).json, expected)
  }
  t.equal((await patch(id, { username: 'both' })).status, 200, 'the same change again is not an error')
})

t.test('a change may be sent as the media type of a JSON merge patch', async (t) => {
  const id = await makeUser()
  const headers = { 'content-type': 'application/merge-patch+json' }
  const send = (method: string, path: string, body: object) => call<User>(method, path, { body, headers })
  const { status, json } = await send('PATCH', `/v1/users/${id}`, { role: 'buyer', custom_attributes: { n: null } })
  t.match({ status, json }, { status: 200, json: { role: 'buyer', custom_attributes: { n: undefined } } })
  t.match(await send('PATCH', `/v1/users/${id}`, { id }), { status: 400 }, 'the same rules')
  t.match(await send('POST', '/v1/batches', { count: 1 }), { status: 415 }, 'no other route takes it')
})

t.test('an invalid change is rejected and changes nothing', async (t) => {
  const id = await makeUser()
  const before = (await call('GET', `/v1/users/${id}`)).raw
  const invalid = { status: 400, code: 'invalid_request' }
  const table: [body: object | string, expected: object][] = [
    [{}, invalid],
    [{ pool: 'default' }, invalid],
    [[], { ...invalid, detail: 'body must be a JSON object' }],
    ['', { status: 400, code: 'invalid_json' }],
    ['{', { status: 400, code: 'invalid_json' }],
    [{ usrname: 'x' }, { ...invalid, errors: [{ path: 'body.usrname', code: 'unknown_member' }] }],
    [{ id: BATCH }, { ...invalid, errors: [{ path: 'body.id' }] }],
    [{ is_test_user: false }, { ...invalid, errors: [{ path: 'body.is_test_user' }] }],
    [{ batch_id: BATCH }, { ...invalid, errors: [{ path: 'body.batch_id' }] }],
    [{ username: '' }, { ...invalid, errors: [{ path: 'body.username' }] }],
    [{ username: 'x'.repeat(255) }, { ...invalid, errors: [{ path: 'body.username' }] }],
    [{ username: 5 }, { ...invalid, errors: [{ path: 'body.username' }] }],
    [{ email: 'nobody' }, { ...invalid, errors: [{ path: 'body.email' }] }],
    ...[
      'a b@example.com',
      '@example.com',
      'evil@gmail.com,x@example.com',
      'a,b@example.com',
      'a;b@example.com',
      '<a@example.com',
      'a\u0001@example.com',
      'a@.example.com',
      'a@sub..example.com',
      'a@example.com.',
    ].map((email): [object, object] => [{ email }, { ...invalid, errors: [{ path: 'body.email' }] }]),
    [{ email: 'a@gmail.com' }, { status: 422, code: 'domain_not_reserved' }],
    [{ role: null }, { ...invalid, errors: [{ path: 'body.role' }] }],
    [{ custom_attributes: [1] }, { ...invalid, errors: [{ path: 'body.custom_attributes' }] }],
    [{ username: 'listed7' }, { status: 409, code: 'user_exists' }],
    [{ email: 'listed7@example.com' }, { status: 409, code: 'user_exists' }],
    [{ username: 'nul\u0000' }, invalid],
    [{ role: '\u0000' }, invalid],
    [{ custom_attributes: { a: '\u0000' } }, invalid],
    [{ username: '\ud800' }, invalid],
    [{ custom_attributes: { a: '\ud800' } }, invalid],
    [{ custom_attributes: { '\udc00': 1 } }, invalid],
    [{ role: 'buyer', custom_attributes: { a: 'x\ud83d' } }, invalid],
    ['{"custom_attributes":{"a":123456789012345678}}', { ...invalid, detail: /too many digits/ }],
    ['{"custom_attributes":{"a":-9007199254740993}}', { ...invalid, detail: /too many digits/ }],
  ]
  for (const [body, expected] of table) {
    const { status, json } = await patch<{ status: number }>(id, body)
    t.match(json, expected, JSON.stringify(body))
    t.equal(status, json.status)
  }
  t.strictSame((await call('GET', `/v1/users/${id}`)).raw, before)
})

t.test('any text that PostgreSQL can store is returned unchanged', async () => {
  const id = await makeUser()
  const text = fc.string({ unit: anyCharacter, minLength: 1, maxLength: 60 }).filter((text) => !text.includes('\u0000'))
  const name = text.filter((text) => text.trim() === text)
  await fc.assert(
    fc.asyncProperty(name, text, async (role, key) => {
      const { status, json } = await patch<{ role: string; custom_attributes: object }>(id, {
        role,
        custom_attributes: { [key]: role },
      })
      return (
        status === 200 &&
        json.role === role &&
        Object.entries(json.custom_attributes).some(([name, value]) => name === key && value === role)
      )
    }),
    { numRuns: 40 },
  )
})

t.test('attributes are changed by a merge patch, and untouched numbers keep every digit', async (t) => {
  const id = await makeUser()
  const attributes = (text: string) => sql`update users set custom_attributes = ${text}::jsonb where id = ${id}`
  // The examples in RFC 7396, appendix A, whose target and patch are objects.
  const table: [target: string, patch: object, result: string][] = [
    ['{"a":"b"}', { a: 'c' }, '{"a": "c"}'],
    ['{"a":"b"}', { b: 'c' }, '{"a": "b", "b": "c"}'],
    ['{"a":"b"}', { a: null }, '{}'],
    ['{"a":"b","b":"c"}', { a: null }, '{"b": "c"}'],
    ['{"a":["b"]}', { a: 'c' }, '{"a": "c"}'],
    ['{"a":"c"}', { a: ['b'] }, '{"a": ["b"]}'],
    ['{"a":{"b":"c"}}', { a: { b: 'd', c: null } }, '{"a": {"b": "d"}}'],
    ['{"a":[{"b":"c"}]}', { a: [1] }, '{"a": [1]}'],
    ['{"e":null}', { a: 1 }, '{"a": 1, "e": null}'],
    ['{}', { a: { bb: { ccc: null } } }, '{"a": {"bb": {}}}'],
    [
      '{"n":[1.10,12345678901234567890123],"a":{"b":1.0}}',
      { a: { c: 2 } },
      '{"a": {"b": 1.0, "c": 2}, "n": [1.10, 12345678901234567890123]}',
    ],
    ['{"a":5}', { a: { b: null, c: [null] } }, '{"a": {"c": [null]}}'],
    ['{"a":1}', {}, '{"a": 1}'],
    ['{"__proto__":{"a":1}}', JSON.parse('{"__proto__":{"b":2}}'), '{"__proto__": {"a": 1, "b": 2}}'],
  ]
  for (const [target, change, result] of table) {
    await attributes(target)
    const { status, raw } = await patch(id, { custom_attributes: change })
    t.equal(status, 200)
    t.ok(raw.includes(`"custom_attributes":${result},`), `${target} ${JSON.stringify(change)} ${raw}`)
  }
  t.match(await patch(id, { custom_attributes: null }), { status: 400, json: { code: 'invalid_request' } })
})

t.test('only test users can be changed or deleted', async (t) => {
  const id = await makeUser(false)
  const before = (await call('GET', `/v1/users/${id}`)).raw
  const protectedUser = { status: 403, json: { code: 'user_protected' } }
  t.match(await patch(id, { role: 'x' }), protectedUser)
  t.match(await call('DELETE', `/v1/users/${id}`), protectedUser)
  t.strictSame((await call('GET', `/v1/users/${id}`)).raw, before)
})

t.test('a user can be deleted once', async (t) => {
  const id = await makeUser()
  const { status, raw } = await call('DELETE', `/v1/users/${id}`)
  t.match({ status, length: raw.length }, { status: 204, length: 0 })
  const gone = { status: 404, json: { code: 'user_not_found' } }
  t.match(await call('DELETE', `/v1/users/${id}`), gone)
  t.match(await call('GET', `/v1/users/${id}`), gone)
  t.match(await patch(id, { role: 'x' }), gone)
  t.match(await call('GET', '/v1/users/1'), { status: 400, json: { errors: [{ path: 'params.id' }] } })
})

t.test('pages of any size contain every user once, ordered by id', async (t) => {
  const rows = await sql<{ id: string }[]>`select id from users where is_test_user order by id`
  const expected = rows.map(({ id }) => id)
  for (const limit of [97, 600, 1000]) {
    t.strictSame(
      (await listAll(call, `limit=${limit}`)).map(({ id }) => id),
      expected,
      `pages of ${limit}`,
    )
  }
  t.equal((await call<Page>('GET', '/v1/users')).json.items.length, 100, '100 per page')
  const batch = await listAll(call, `limit=1&batch_id=${BATCH}`)
  t.strictSame(
    new Set(batch.map(({ username }) => username)),
    new Set(Array.from({ length: 40 }, (_, n) => `listed${n + 1}`)),
  )
})

t.test('the listing can be filtered', async (t) => {
  await makeUser(false)
  const count = async (query: string) => (await listAll(call, `limit=1000&${query}`)).length
  const [row] = await sql`select count(*)::int as all, count(*) filter (where is_test_user)::int as test from users`
  t.equal(await count('test_users_only=false'), row?.['all'])
  t.equal(await count('test_users_only=true'), row?.['test'])
  t.equal(await count('bulk_users_only=true'), 60)
  t.equal(await count(`batch_id=${BATCH}`), 40)
  t.equal(await count(`batch_id=${BATCH.toUpperCase()}&bulk_users_only=true`), 40)
  t.equal(await count('batch_id=01890000-0000-7000-8000-00000000ffff'), 0)
})

t.test('a cursor belongs to its listing', async (t) => {
  const { json } = await call<Page>('GET', '/v1/users?limit=5')
  const refused = { status: 400, json: { code: 'cursor_invalid' } }
  await sql`insert into pools (name) values ('other') on conflict do nothing`
  for (const query of ['test_users_only=false', 'bulk_users_only=true', `batch_id=${BATCH}`, 'pool=other']) {
    t.match(await call('GET', `/v1/users?${query}&cursor=${json.next_cursor}`), refused, query)
  }
  for (const cursor of ['', 'x', `${json.next_cursor}A`, String(json.next_cursor).slice(0, -4), '%00', "'"]) {
    t.match(await call('GET', `/v1/users?cursor=${cursor}`), refused, cursor)
  }
  t.equal((await call('GET', `/v1/users?limit=9&cursor=${json.next_cursor}`)).status, 200, 'the limit may change')
  for (const query of [
    'limit=0',
    'limit=1001',
    'limit=1.5',
    'limit=',
    'lmit=5',
    'batch_id=5',
    'test_users_only=maybe',
  ]) {
    t.match(await call('GET', `/v1/users?${query}`), { status: 400, json: { code: 'invalid_request' } }, query)
  }
})

t.test('the same names can exist in two pools', async (t) => {
  const [pool] = await sql<{ id: number }[]>`
    insert into pools (name) values ('twin') on conflict (name) do update set name = excluded.name returning id`
  const id = await makeUser()
  await sql`
    insert into users (pool_id, username, email) select ${pool?.id ?? 0}, username, email from users where id = ${id}`
  const twins = (await call<Page>('GET', '/v1/users?pool=twin')).json.items
  t.equal(twins.length, 1)
  t.not(twins[0]?.id, id)
  const notHere = { status: 404, json: { code: 'user_not_found' } }
  t.match(await call('GET', `/v1/users/${id}?pool=twin`), notHere)
  t.match(await call('PATCH', `/v1/users/${id}`, { body: { pool: 'twin', role: 'x' } }), notHere)
  t.match(await call('DELETE', `/v1/users/${id}?pool=twin`), notHere)
  t.equal((await call('PATCH', `/v1/users/${twins[0]?.id}`, { body: { pool: 'twin', role: 'x' } })).status, 200)
  t.match((await call('GET', `/v1/users/${id}`)).json, { role: 'user' })
})
