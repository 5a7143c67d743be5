import type { Test } from 'tap'
import { suite } from '../suite.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'

const t = suite()

/* Tables whose columns do not keep a text as it is sent. Each user is found again, with the values that the mapping says. */

const service = await sinkService(t)
const { sql } = service
const { create, sync, clear, failures, batch } = sinkRoutes(service)
const system = await startSystem(
  t,
  `create type mood as enum ('calm', 'wild');
  create domain short as varchar(8) check (value <> 'never');
  create table kinds (code char(12) primary key, mood mood, short short, tags text[], area box, data jsonb, level numeric(4, 2));
  create table numbered (code numeric primary key, email text);
  create table narrow (name varchar(9) primary key, email text);
  create function leave_out() returns trigger language plpgsql as $$ begin
    return case when new.name = 'u2' then null else new end;
  end $$;
  create trigger leave_out before insert on narrow for each row execute function leave_out()`,
)
await batch(3, { username_pattern: 'u{n}' })

/** Brings the users into a table, changes one, and removes them. Returns the rows after the first and the second step. */
async function follow(t: Test, table: string, columns: Record<string, unknown>, key: string) {
  const rows = async () => [...(await system.sql.unsafe(`select * from ${table} order by ${key}`))]
  t.match(
    await create({ name: table, url: system.url, mapping: { tables: [{ table, columns, key: [key] }] } }),
    { status: 201 },
    'created',
  )
  await sync(table)
  const before = await rows()
  await sql`update users set email = 'new@example.com' where username = 'u1'`
  await sync(table)
  const after = await rows()
  await sql`update users set email = 'u1' where username = 'u1'`
  t.match(await clear(table), { status: 'succeeded', failure: null })
  t.strictSame(await rows(), [], 'cleared')
  return { before, after }
}

t.test('values take the types of their columns, whose lengths do not cut them', async (t) => {
  const columns = {
    ...{ code: '{username}', mood: 'wild', short: '{username}', tags: '{{{username},"b c"}}', area: '(1,1),(0,0)' },
    ...{ data: { name: '{username}' }, level: 1.5 },
  }
  const { before } = await follow(t, 'kinds', columns, 'code')
  const row = { mood: 'wild', area: '(1,1),(0,0)', level: '1.50' }
  const names = ['u1', 'u2', 'u3']
  t.strictSame(
    before,
    names.map((name) => ({
      ...{ code: name.padEnd(12), ...row, short: name, tags: [name, 'b c'], data: { name } },
    })),
  )
})

t.test('a key that the database writes in another way is found again', async (t) => {
  await sql`update users set custom_attributes = jsonb_build_object('code', '00' || substr(username, 2))`
  const columns = { code: '{custom_attributes.code}', email: '{email}' }
  const { before, after } = await follow(t, 'numbered', columns, 'code')
  t.match(before, [{ code: '1' }, { code: '2' }, { code: '3' }])
  t.match(after[0], { code: '1', email: 'new@example.com' })
  t.strictSame(after.slice(1), before.slice(1))
})

t.test('users with the same key: the first one arrives, and the others are refused', async (t) => {
  await sql`update users set custom_attributes = '{"code": "7"}'`
  const columns = { code: '{custom_attributes.code}', email: '{username}' }
  const tables = [{ table: 'numbered', columns, key: ['code'] }]
  await create({ name: 'same', url: system.url, mapping: { tables } })
  t.match(await sync('same'), { failure: 'users_refused', added_count: 1 })
  t.match(await failures('same'), Array(2).fill({ code: 'exists_already' }))
  t.strictSame([...(await system.sql`select * from numbered`)], [{ code: '7', email: 'u1' }])
  await clear('same')
})

t.test('users whose keys are the same to a column that ignores case: each row is of one user', async (t) => {
  await system.sql.unsafe(`
    create collation caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table people (id serial, login text collate caseless unique)`)
  for (const [user, login] of Object.entries({ u1: 'Zoë', u2: 'ann', u3: 'ANN' }))
    await sql`update users set custom_attributes = jsonb_build_object('login', ${login}::text) where username = ${user}`
  const columns = { login: '{custom_attributes.login}' }
  const tables = [{ table: 'people', columns, key: ['login'], returning: 'id' }]
  await create({ name: 'people', url: system.url, mapping: { tables } })
  t.match(await sync('people'), { failure: 'users_refused', added_count: 2 })
  t.match(await failures('people'), [{ username: 'u3', code: 'exists_already' }])
  await sql`update users set custom_attributes = '{"login": "bob"}' where username = 'u3'`
  t.match(await sync('people'), { failure: null, added_count: 1, updated_count: 0 })
  const logins = async () => (await system.sql`select login from people order by id`).map(({ login }) => login)
  t.strictSame(await logins(), ['Zoë', 'ann', 'bob'], 'the row of the other user is not renamed')
  t.match(await clear('people'), { failure: null, deleted_count: 3 })
})

t.test('a row that a trigger leaves out is a refused user', async (t) => {
  const tables = [{ table: 'narrow', columns: { name: '{username}', email: '{email}' }, key: ['name'] }]
  await create({ name: 'left', url: system.url, mapping: { tables } })
  t.match(await sync('left'), { failure: 'users_refused', added_count: 2 })
  t.match(await failures('left'), [{ username: 'u2' }])
  t.match([...(await system.sql`select * from narrow order by name`)], [{ name: 'u1' }, { name: 'u3' }])
  t.match(await clear('left'), { failure: null, deleted_count: 2 })
})

t.test('a table that changes the key of a new row is refused, and keeps no row', async (t) => {
  await system.sql.unsafe(`
    create table shouting (id serial primary key, login text unique);
    create function shout() returns trigger language plpgsql as $$ begin new.login := upper(new.login); return new; end $$;
    create trigger shout before insert on shouting for each row execute function shout()`)
  for (const [name, returning] of [
    ['by-key', {}],
    ['by-id', { returning: 'id' }],
  ] as const) {
    const mapping = { tables: [{ table: 'shouting', columns: { login: '{username}' }, key: ['login'], ...returning }] }
    t.match(await create({ name, url: system.url, mapping }), { status: 201 })
    t.match(await sync(name), { status: 'failed', failure: 'refused', detail: /shouting changes the key/ })
    t.strictSame([...(await system.sql`select from shouting`)], [])
  }
})
