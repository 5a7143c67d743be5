import fc from 'fast-check'
import { jsonbBytes, MAX_LINE_BYTES, numberBytes } from '../../src/protocol/longest-line.ts'
import { anyCharacter } from '../any-character.ts'
import { makePool } from '../export/observe.ts'
import { startService } from '../http/service.ts'
import { exportOf, put } from '../replica/pair.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The same limit for every writer: the line of a user has at most 1 MiB. */

const service = await startService(t, { MAX_WORKERS: '1', MEMORY_LIMIT_MB: '8192' }) // generated values use most of it
const { sql, call, url } = service

/** 35 KB in the request, and 1.5 MB in the line. */
const WIDE = { a: Array(5_000).fill(1e308) }
const WIDE_ROW = `{"username":"wide@example.com","custom_attributes":{"a":[${Array(5_000).fill('1e308').join()}]}}\n`

const stateOf = async (pool: string) =>
  (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state

const importAs = (pool: string, format: string, body: string, query = '') =>
  call<{ id: string }>('POST', `/v1/users/import?pool=${pool}${query}`, {
    body,
    headers: {
      'content-type': { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' }[format] ?? '',
    },
  })

t.test('the size of a JSON text is computed as PostgreSQL writes it', async (t) => {
  const number = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(fc.constant('0'), fc.bigInt({ min: 1n, max: 10n ** 30n }).map(String)),
      fc.oneof(fc.constant(''), fc.stringMatching(/^\.[0-9]{1,20}$/)),
      fc.oneof(fc.constant(''), fc.stringMatching(/^[eE][+-]?[0-9]{1,2}$/)),
    )
    .map((parts) => parts.join(''))
  const text = fc
    .oneof(fc.string({ unit: anyCharacter }), fc.constantFrom('__proto__', 'constructor', '0', '1'))
    .filter((each) => !each.includes('\0'))
  const { json } = fc.letrec<{ json: string }>((tie) => ({
    json: fc.oneof(
      { maxDepth: 4 },
      number,
      text.map((each) => JSON.stringify(each)),
      fc.constantFrom('true', 'false', 'null', '[]', '{}', '"\\/\\u0041"', '{"a":1,"a":[2, 3]}', '{"0":{"1":null}}'),
      fc.array(tie('json'), { maxLength: 4 }).map((items) => `[${items.join(', ')}]`),
      fc
        .array(fc.tuple(text, tie('json')), { maxLength: 4 })
        .map((members) => `{${members.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`),
    ),
  }))
  await fc.assert(
    fc.asyncProperty(fc.array(json, { minLength: 1, maxLength: 20 }), async (texts) => {
      const rows = await sql<{ bytes: number }[]>`
        select octet_length(text::jsonb::text) as bytes from unnest(${texts}::text[]) with ordinality t (text, n) order by n`
      t.strictSame(
        texts.map(jsonbBytes),
        rows.map(({ bytes }) => bytes),
      )
    }),
    { numRuns: sized(15, 50) },
  )
  for (const source of [
    '1e308',
    '-1e-300',
    '0e5',
    '-0.00',
    '0.00e1',
    '1.50e1',
    '12.5e-3',
    '5e-324',
    '100e-2',
    '0.001e5',
  ]) {
    const [row] = await sql<{ text: string }[]>`select ${source}::jsonb::text as text`
    t.equal(numberBytes(source), row?.text.length, source)
  }
})

t.test('no writer can store a longer line, and each gets a clear error', async (t) => {
  const pool = 'too-wide'
  const poolId = await makePool(sql, pool)
  const before = await stateOf(pool)
  const tooLarge = { status: 422, json: { code: 'user_too_large' } }

  t.match(await importAs(pool, 'ndjson', WIDE_ROW), {
    status: 422,
    json: { code: 'import_invalid', errors: [{ path: 'rows.1.custom_attributes', code: 'user_too_large' }] },
  })
  const skipped = await importAs(pool, 'ndjson', `${WIDE_ROW}{"username":"a@example.com"}\n`, '&on_conflict=skip')
  t.match(skipped, { status: 201, json: { created_count: 1, failed_count: 1 } })
  const failures = await call('GET', `/v1/batches/${skipped.json.id}/failures?pool=${pool}`)
  t.match(failures.json, { items: [{ n: 1, username: 'wide@example.com', code: 'user_too_large' }] })

  const [{ id = '' } = {}] = await sql<{ id: string }[]>`select id from users where pool_id = ${poolId}`
  const patch = (custom_attributes: object) =>
    call('PATCH', `/v1/users/${id}?pool=${pool}`, { body: { custom_attributes } })
  t.match(await patch(WIDE), tooLarge)
  const half = Array(2_000).fill(1e308)
  t.match(await patch({ a: half }), { status: 200 })
  t.match(await patch({ b: half }), tooLarge, 'the merged size counts')

  const bySql = sql`
    insert into users (pool_id, username, email, custom_attributes) values (${poolId}, 'wide', 'wide@x.test', '{"a": 1e131000}'),
      (${poolId}, 'wider', 'wider@x.test', ${JSON.stringify(WIDE)}::jsonb)`
  await t.rejects(bySql, {
    code: '54000',
    message: /^the line of user [0-9a-f-]{36} has \d+ bytes; the limit is 1048576$/,
  })

  t.match(await call('DELETE', `/v1/users/${id}?pool=${pool}`), { status: 204 })
  t.equal(await stateOf(pool), before, 'nothing of it is stored')
})

t.test('a replica rejects a line that is too long', async (t) => {
  const pool = 'receives'
  await makePool(sql, pool)
  await sql`insert into users (username, email, custom_attributes) values ('long', 'long@x.test', ${JSON.stringify({ a: 'x'.repeat(MAX_LINE_BYTES - 400) })}::jsonb)`
  const text = (await exportOf(service)).replace('xxx', 'x'.repeat(1_000))
  t.match(await put(url, text, { pool }), { status: 422, json: { code: 'user_too_large' } })
  await sql`delete from users where username = 'long'`
})

t.test('the longest line can be exported and imported, in every format', async (t) => {
  const [{ bytes = 0 } = {}] = await sql<{ bytes: number }[]>`
    insert into users (username, email, custom_attributes) values ('longest', 'longest@x.test', '{"a": ""}')
    returning octet_length(user_line(id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)) as bytes`
  // Quotes, which CSV doubles and JSON escapes, and letters of several bytes.
  const left = MAX_LINE_BYTES - bytes
  const longest = '"ü'.repeat(Math.floor(left / 4)) + 'x'.repeat(left % 4)
  const fill = (text: string) =>
    sql`update users set custom_attributes = ${JSON.stringify({ a: text })}::jsonb where username = 'longest'`
  await t.rejects(fill(`${longest}x`), { code: '54000', message: /has 1048577 bytes/ })
  await fill(longest)
  const state = await stateOf('default')
  for (const format of ['json', 'ndjson', 'csv']) {
    const { raw } = await call('GET', `/v1/users/export?format=${format}`)
    await makePool(sql, format)
    t.match(await importAs(format, format, raw.toString()), { status: 201, json: { created_count: 1 } }, format)
    t.equal(await stateOf(format), state, format)
  }
  const wider = (await call('GET', '/v1/users/export?format=ndjson')).raw
    .toString()
    .replace('"username":"longest"', '"username":"longest1"')
  t.match(await importAs('json', 'ndjson', wider), { status: 422, json: { errors: [{ code: 'user_too_large' }] } })
  await makePool(sql, 'replica')
  t.match(await put(url, await exportOf(service), { pool: 'replica' }), { status: 200, json: { state } })
})

t.test('a user from before the limit can be shortened and deleted', async (t) => {
  for (const name of ['capture_insert', 'capture_update']) await sql`alter table users disable trigger ${sql(name)}`
  const attributes = JSON.stringify({ a: 'x'.repeat(2 * MAX_LINE_BYTES) })
  await sql`insert into users (username, email, custom_attributes) values ('old', 'old@x.test', ${attributes}::jsonb), ('older', 'older@x.test', ${attributes}::jsonb)`
  for (const name of ['capture_insert', 'capture_update'])
    await sql`alter table users enable always trigger ${sql(name)}`
  await t.rejects(sql`update users set role = 'x' where username = 'old'`, { code: '54000' })
  await t.resolves(sql`update users set custom_attributes = '{}' where username = 'old'`)
  await t.resolves(sql`delete from users where username = 'older'`)
})
