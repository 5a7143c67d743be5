import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { id, importClient } from './import-client.ts'

const t = suite()

/* on_conflict=fail and skip: rows that conflict with existing users, with each other, or with the rules. */

const service = await sharedService(t)
const { sql, call } = service
const { send, failuresOf, written, poolWith } = importClient(service)

t.test('fail: the first conflicting row rejects the import, and nothing is stored', async (t) => {
  const pool = await poolWith('fail')
  const before = await written(pool)
  const FILLERS = sized(2_100, 4_500) // several pieces of 2,000 rows
  const filler = Array.from({ length: FILLERS }, (_, i) => ({ username: `filler_${i}@example.com` }))
  const table: [row: object, code: string, path: string][] = [
    [{ id: id(1), username: 'new@example.com' }, 'id_taken', 'id'],
    [{ username: 'there@example.com', email: 'new@example.com' }, 'username_taken', 'username'],
    [{ username: 'new', email: 'there@example.com' }, 'email_taken', 'email'],
    [{ username: 'filler_0@example.com', email: 'new@example.com' }, 'username_taken', 'username'],
    [{ username: `filler_${FILLERS - 1}@example.com` }, 'username_taken', 'username'],
    [{ id: id(2), username: 'new@example.com' }, 'id_taken', 'id'],
  ]
  for (const [row, code, member] of table) {
    const answer = await send(pool, 'fail', [...filler, row, row])
    t.match(
      answer,
      { status: 409, json: { code: 'import_conflict', errors: [{ path: `rows.${FILLERS + 1}.${member}`, code }] } },
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
