import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { makePool } from '../export/observe.ts'
import { type Answer, startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Rows that conflict with existing users, with each other, or with the rules. */

const { sql, call } = await startService(t, { MAX_WORKERS: '1' })

const id = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`
const send = (pool: string, onConflict: string, rows: object[]) =>
  call<Batch>('POST', `/v1/users/import?pool=${pool}&on_conflict=${onConflict}&format=json`, {
    body: JSON.stringify(rows),
    headers: { 'content-type': 'application/json' },
  })
const failuresOf = async (pool: string, { json }: Answer<Batch>) => {
  const { json: page } = await call<{ items: { n: number; code: string }[] }>(
    'GET',
    `/v1/batches/${json.id}/failures?pool=${pool}`,
  )
  return page.items.map(({ n, code }) => [n, code])
}
const written = async (pool: string) => [
  ...(await sql`select u.*, u.custom_attributes::text as attributes from users u join pools p on p.id = u.pool_id where p.name = ${pool} order by u.id`),
  ...(await sql`select b.id from batches b join pools p on p.id = b.pool_id where p.name = ${pool}`),
]

/** A pool with user 1, `there@example.com`, and user 2, `real`, which is not a test user. */
async function poolWith(name: string): Promise<string> {
  const poolId = await makePool(sql, name)
  await sql`
    insert into users (pool_id, id, username, email, custom_attributes, is_test_user) values
      (${poolId}, ${id(1)}, 'there@example.com', 'there@example.com', '{"n": 1.1}', true),
      (${poolId}, ${id(2)}, 'real', 'real@example.com', '{}', false)`
  return name
}

t.test('fail: the first conflicting row rejects the import, and nothing is stored', async (t) => {
  const pool = await poolWith('fail')
  const before = await written(pool)
  const filler = Array.from({ length: 4500 }, (_, i) => ({ username: `filler_${i}@example.com` }))
  const table: [row: object, code: string, path: string][] = [
    [{ id: id(1), username: 'new@example.com' }, 'id_taken', 'id'],
    [{ username: 'there@example.com', email: 'new@example.com' }, 'username_taken', 'username'],
    [{ username: 'new', email: 'there@example.com' }, 'email_taken', 'email'],
    [{ username: 'filler_0@example.com', email: 'new@example.com' }, 'username_taken', 'username'],
    [{ username: 'filler_4499@example.com' }, 'username_taken', 'username'],
    [{ id: id(2), username: 'new@example.com' }, 'id_taken', 'id'],
  ]
  for (const [row, code, member] of table) {
    const answer = await send(pool, 'fail', [...filler, row, row])
    t.match(
      answer,
      { status: 409, json: { code: 'import_conflict', errors: [{ path: `rows.4501.${member}`, code }] } },
      code,
    )
    t.notMatch(answer.raw.toString(), /there@|filler_/, 'errors contain no usernames')
    t.strictSame(await written(pool), before)
  }
})

t.test('fail: invalid rows reject the import, and up to 100 are listed', async (t) => {
  const pool = await poolWith('invalid')
  const before = await written(pool)
  const good = Array.from({ length: 2500 }, (_, i) => ({ username: `good_${i}@example.com` }))
  const rows = [
    ...good,
    { username: 'a@gmail.com' },
    ...good,
    { nick: 1 },
    { username: 'b@x.test', is_test_user: false },
  ]
  t.match(await send(pool, 'fail', rows), {
    status: 422,
    json: {
      code: 'import_invalid',
      errors: [
        { path: 'rows.2501.email', code: 'domain_not_reserved' },
        { path: 'rows.5002.nick', code: 'unknown_member' },
        { path: 'rows.5003.is_test_user', code: 'not_test_user' },
      ],
    },
  })
  const many = await call<{ errors: object[] }>('POST', '/v1/users/import?format=ndjson&pool=invalid', {
    body: '{}\n'.repeat(5000),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  t.match(many, { status: 422, json: { detail: /100/ } })
  t.equal(many.json.errors.length, 100)
  t.strictSame(await written(pool), before)
})

t.test('a password in any row rejects the import in every mode', async (t) => {
  const pool = await poolWith('passwords')
  const before = await written(pool)
  for (const mode of ['fail', 'skip', 'update']) {
    const rows = [{ username: 'a@example.com' }, { username: 'b@example.com', password: 'x' }]
    t.match(await send(pool, mode, rows), { status: 400, json: { code: 'import_credentials' } }, mode)
  }
  t.strictSame(await written(pool), before)
})

t.test('skip: conflicting and invalid rows are listed as failures, and the rest is imported', async (t) => {
  const pool = await poolWith('skip')
  const answer = await send(pool, 'skip', [
    { username: 'a@example.com', id: id(10) },
    { username: 'there@example.com' },
    { username: 'a@example.com', id: id(10) },
    { username: 'b@example.com', id: id(1) },
    { username: 'c', email: 'there@example.com' },
    { username: 'nobody' },
    { username: 'd@shop.de' },
    { username: 'e@example.com', nick: 1 },
    { username: 'f@example.com', is_test_user: false },
    { username: 'g@example.com', custom_attributes: { a: '\u0000' } },
    { username: 'a2', email: 'a@example.com' },
    { username: 'h@example.com' },
    { username: 'evil@gmail.com,x@example.com' },
  ])
  t.match(answer, {
    status: 201,
    json: {
      status: 'completed_with_failures',
      total_requested: 13,
      created_count: 2,
      updated_count: 0,
      skipped_count: 5,
      failed_count: 6,
    },
  })
  t.strictSame(await failuresOf(pool, answer), [
    [2, 'username_taken'],
    [3, 'id_taken'],
    [4, 'id_taken'],
    [5, 'email_taken'],
    [6, 'invalid_row'],
    [7, 'domain_not_reserved'],
    [8, 'unknown_member'],
    [9, 'not_test_user'],
    [10, 'invalid_row'],
    [11, 'email_taken'],
    [13, 'invalid_row'],
  ])
  const names = await sql`
    select username, role, is_test_user, created_by_bulk, batch_id = ${answer.json.id} as mine, created_at = updated_at as fresh
    from users where username in ('a@example.com', 'h@example.com') order by username`
  const made = { role: 'user', is_test_user: true, created_by_bulk: false, mine: true, fresh: true }
  t.same(names, [
    { username: 'a@example.com', ...made },
    { username: 'h@example.com', ...made },
  ])
})

t.test('users without an id get ids in the order of their rows', async (t) => {
  const pool = await poolWith('order')
  const names = Array.from({ length: 300 }, (_, i) => `o_${(i * 7) % 300}@example.com`)
  const { json } = await send(
    pool,
    'fail',
    names.map((username) => ({ username })),
  )
  const rows = await sql`select username from users where batch_id = ${json.id} order by id`
  t.strictSame(
    rows.map(({ username }) => username),
    names,
  )
})

t.test('update: given members change, and the others stay', async (t) => {
  const pool = await poolWith('update')
  const answer = await send(pool, 'update', [
    { username: 'there@example.com', role: 'admin' },
    { username: 'new@example.com', role: 'guest' },
    { id: id(1), username: 'renamed@example.com', created_by_bulk: true },
  ])
  t.match(answer, { status: 201, json: { status: 'completed', created_count: 1, updated_count: 2, failed_count: 0 } })
  t.match((await written(pool)).slice(0, 3), [
    {
      id: id(1),
      username: 'renamed@example.com',
      email: 'there@example.com',
      role: 'admin',
      attributes: '{"n": 1.1}',
      batch_id: null,
      created_by_bulk: true,
    },
    { id: id(2), username: 'real' },
    { username: 'new@example.com', role: 'guest', batch_id: answer.json.id },
  ])
})

t.test('update: an identical row does not change the user, but a different spelling of a number does', async (t) => {
  const pool = await poolWith('same')
  const before = await written(pool)
  const post = (attributes: string) =>
    call('POST', `/v1/users/import?pool=${pool}&on_conflict=update&format=ndjson`, {
      body: `{"username":"there@example.com","email":"there@example.com","custom_attributes":${attributes}}`,
      headers: { 'content-type': 'application/x-ndjson' },
    })
  const exported = async (base = '') =>
    (await call('GET', `/v1/users/export?pool=${pool}&format=ndjson&base=${base}`)).raw.toString().split('\n')
  const { state } = (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json
  t.match(await post('{"n":1.1}'), { status: 201, json: { updated_count: 0, skipped_count: 1 } })
  t.strictSame((await written(pool)).slice(0, 2), before)
  t.match(await post('{"n":1.10}'), { status: 201, json: { updated_count: 1, skipped_count: 0 } })
  t.match(
    (await exported(state)).slice(0, 2),
    [/"kind":"delta".*"updated":1/, /\{"n": 1\.10\}/],
    'the change is in the delta',
  )
})

t.test('update: a user that is not a test user is not changed', async (t) => {
  const pool = await poolWith('protected')
  const [, before] = await written(pool)
  const answer = await send(pool, 'update', [
    { id: id(2), username: 'taken-over', email: 'x@example.com' },
    { username: 'real', email: 'x@example.com', role: 'admin' },
    { username: 'x', email: 'real@example.com' },
    { username: 'there@example.com', email: 'real@example.com' },
  ])
  t.match(answer, { status: 201, json: { status: 'completed_with_failures', created_count: 0, failed_count: 4 } })
  t.strictSame(await failuresOf(pool, answer), [
    [1, 'user_protected'],
    [2, 'user_protected'],
    [3, 'email_taken'],
    [4, 'email_taken'],
  ])
  t.strictSame((await written(pool))[1], before)
})

t.test('update: a user that stops being a test user meanwhile is not changed', async (t) => {
  const pool = await poolWith('race')
  let answer: Promise<Answer<Batch>> | undefined
  await sql.begin(async (tx) => {
    await tx`update users u set is_test_user = false from pools p where p.id = u.pool_id and p.name = ${pool}`
    answer = send(pool, 'update', [{ username: 'there@example.com', role: 'admin' }])
    const waits = async () =>
      (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length >
      0
    while (!(await waits())) await sleep(10)
  })
  t.equal((await answer)?.status, 201)
  t.match((await written(pool))[0], { username: 'there@example.com', role: 'user', is_test_user: false })
})

t.test('update: if rows repeat a user, the last one is applied, and none causes an internal error', async (t) => {
  const pool = await poolWith('again')
  const answer = await send(pool, 'update', [
    { username: 'there@example.com', role: 'first' },
    { username: 'there@example.com', role: 'second' },
    { username: 'new@example.com', role: 'first' },
    { username: 'new@example.com', role: 'second' },
    { id: id(3), username: 'three@example.com' },
    { id: id(3), username: 'drei@example.com', role: 'last' },
    { id: id(4), username: 'drei@example.com' },
    { id: id(1), username: 'moved@example.com' },
    { username: 'there@example.com', email: 'y@example.com' },
  ])
  t.match(answer, { status: 201, json: { total_requested: 9, created_count: 3, updated_count: 5, failed_count: 1 } })
  t.strictSame(await failuresOf(pool, answer), [[7, 'username_taken']])
  const rows = await sql`
    select username, role from users u join pools p on p.id = u.pool_id where p.name = ${pool} and is_test_user order by username`
  t.same(rows, [
    { username: 'drei@example.com', role: 'last' },
    { username: 'moved@example.com', role: 'second' },
    { username: 'new@example.com', role: 'second' },
    { username: 'there@example.com', role: 'user' }, // the name was free again
  ])
})

t.test('update: rows that exchange names have the same result as one row at a time', async (t) => {
  const pool = await poolWith('hands')
  const user = (n: number, name: string) => ({
    id: id(n),
    username: `${name}@example.com`,
    email: `${name}@example.com`,
  })
  await send(pool, 'fail', [user(5, 'a'), user(6, 'b'), user(7, 'c')])
  const swap = await send(pool, 'update', [user(5, 'b'), user(6, 'a')])
  t.match(swap.json, { updated_count: 0, failed_count: 2 }, 'each name is still taken when its row is applied')
  t.strictSame(await failuresOf(pool, swap), [
    [1, 'username_taken'],
    [2, 'username_taken'],
  ])
  const shift = await send(pool, 'update', [user(7, 'd'), user(6, 'c'), user(5, 'b'), user(8, 'a')])
  t.match(
    shift.json,
    { created_count: 1, updated_count: 3, failed_count: 0 },
    'each name is free when its row is applied',
  )
  const ring = await send(pool, 'update', [user(5, 'x'), user(6, 'b'), user(7, 'c'), { ...user(5, 'd'), role: 'last' }])
  t.match(ring.json, { updated_count: 4, failed_count: 0 })
  t.match((await written(pool)).slice(2, 6), [
    { username: 'd@example.com', role: 'last' },
    { username: 'b@example.com' },
    { username: 'c@example.com' },
    { username: 'a@example.com' },
  ])
})

t.test('unknown pools and parameters are rejected', async (t) => {
  t.match(await send('nowhere', 'fail', []), { status: 404, json: { code: 'pool_not_found' } })
  t.match(await send('default', 'replace', []), {
    status: 400,
    json: { errors: [{ path: 'querystring.on_conflict' }] },
  })
  t.match(await call('POST', '/v1/users/import?format=xml', { body: '' }), {
    status: 400,
    json: { code: 'invalid_request' },
  })
  t.match(await call('POST', '/v1/users/import?mode=skip', { body: '' }), {
    status: 400,
    json: { code: 'invalid_request' },
  })
})

t.test('a name taken meanwhile by another writer is a conflict; other database conflicts are retryable', async (t) => {
  const pool = await poolWith('meanwhile')
  const before = await written(pool)
  const importConflict = { status: 409, json: { code: 'import_conflict' } }
  const overloaded = { status: 503, json: { code: 'overloaded' }, headers: { 'retry-after': '5' } }
  for (const [sqlstate, answer] of [
    ['23505', importConflict],
    ['40001', overloaded],
    ['40P01', overloaded],
    ['55P03', overloaded],
  ] as const) {
    await sql.unsafe(`
      create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'refused' using errcode = '${sqlstate}'; end $$;
      create trigger b_refuse before insert on users for each row when (new.username = 'refused') execute function refuse()`)
    t.match(await send(pool, 'fail', [{ username: 'refused', email: 'refused@example.com' }]), answer, sqlstate)
    await sql`drop function refuse cascade`
  }
  t.same(await written(pool), before, 'nothing is stored')
})
