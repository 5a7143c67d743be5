import { makePool, stateFromScratch } from '../export/observe.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const { sql, call } = await sharedService(t)

/** More than one page of 2,000 rows. */
const USERS = 2_010

const BATCH = '01890000-0000-7000-8000-000000000000'

/** As JSON text: numbers that JavaScript cannot represent, texts of all Unicode planes, and nested values. */
const ATTRIBUTES = [
  '{}',
  '{"plan": "gold"}',
  '{"n": [12345678901234567890123, 1.10, 1.1, -0.0, 9007199254740993, 1e-7, 123e20, 0.1000000000000000055511151231257827]}',
  `{"": "\\u0001 \\u2028 é 漢 🐉 \\udbff\\udfff", "'\\"\\\\,;": "=cmd|' /C calc'!A0\\r\\n", "b": {"a": {"c": [[], {}, null, true]}}}`,
  `{"wide": [1e308, -1e308, 1e-300, -1e-300, 5e-324, 1e-400, 0e308, -0.00e5, 1.5e-7, ${'9'.repeat(300)}.${'1'.repeat(600)}]}`,
  `{"digits": [${'1'.repeat(309)}, 0.${'123456789'.repeat(100)}, -${'98765'.repeat(60)}], "one": 1e308}`,
  '{"__proto__": {"a": 1}, "constructor": {"prototype": 1}, "a": {"__proto__": null}}',
  `{"deep": ${'['.repeat(90)}${']'.repeat(90)}}`,
]

await sql`
  insert into users (username, email, role, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)
  select 'user_' || n || '@example.com', 'user_' || n || '@example.com', 'user', case when n % 3 = 0 then ${BATCH}::uuid end,
    n % 2 = 0, (${ATTRIBUTES}::text[])[case when n % 10 = 0 then 1 + n / 10 % ${ATTRIBUTES.length}::int else 1 end]::jsonb,
    '2020-02-29 00:00:00.000001+00'::timestamptz + n * interval '1.000001 s', '2024-01-01 12:00:00.120000+05'::timestamptz
  from generate_series(1, ${USERS}::int) n`
await sql`
  insert into users (username, email, role, custom_attributes, created_at, updated_at) values
    ('"quoted", 🐉', ${'𝒳'.repeat(200)} || '@sub.example.com', E'ro\nle', '{}', '0001-01-01', '9999-12-31 23:59:59.999999+00'),
    ('=1+1', 'a@localhost', '-', '{}', now(), now()), (E'a\tb', 'tab@x.test', E'a\r\nb', '{}', now(), now())`

const stateOf = async (pool: string, filter = '') =>
  (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}${filter}`)).json.state

const read = async (format: string) => (await call('GET', `/v1/users/export?format=${format}`)).raw.toString()

/** For a file whose format only the parameter `format` gives. */
const FILE = { 'content-type': 'application/octet-stream' }
const BODIES = {
  ndjson: await read('ndjson'),
  json: await read('json'),
  csv: await read('csv'),
}

t.test('a full export imported into an empty pool has the same state, in every format', async (t) => {
  const state = await stateOf('default')
  for (const [format, body] of Object.entries(BODIES)) {
    const again = format === 'json' ? 'skip' : 'update'
    for (const onConflict of sized(format === 'ndjson' ? ['fail', again] : [again], ['fail', again])) {
      const pool = `${format}-${onConflict}`
      const poolId = await makePool(sql, pool)
      const post = () =>
        call('POST', `/v1/users/import?pool=${pool}&format=${format}&on_conflict=${onConflict}`, {
          body,
          headers: FILE,
        })
      t.match(
        await post(),
        { status: 201, json: { status: 'completed', created_count: USERS + 3, failed_count: 0 } },
        pool,
      )
      t.equal(await stateOf(pool), state, pool)
      for (const filter of [`&batch_id=${BATCH}`, '&bulk_users_only=true']) {
        t.equal(await stateOf(pool, filter), await stateOf('default', filter), `${pool} ${filter}`)
      }
      const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
      t.equal(await stateFromScratch(sql, poolId, filter), state, 'it is the state of the rows')
      if (onConflict === 'fail') continue
      const [before] = await sql`select max(version)::int as version from scopes where pool_id = ${poolId}`
      const unchanged = {
        status: 'completed',
        created_count: 0,
        updated_count: 0,
        skipped_count: USERS + 3,
        failed_count: 0,
      }
      t.match(await post(), { status: 201, json: { ...unchanged, progress: 1 } }, `${pool} again`)
      t.equal(await stateOf(pool), state)
      const [after] = await sql`select max(version)::int as version from scopes where pool_id = ${poolId}`
      t.same(after, before, 'nothing was changed')
    }
  }
})

/** A pattern for usernames, with `@x.test` or without, and whether it is valid before an @. */
const LOCAL_PARTS: [pattern: string, isGood: boolean][] = [
  ['é漢🐉\u{41234}_{id}', true],
  [`"o'(x)/=+!:\\[]_{id}`, true],
  ['{id},x', false],
  ['x;{id}', false],
  ['<{id}>', false],
  ['\u0001{id}', false],
]

t.test('every email address that the service creates can be imported again', async (t) => {
  const table = LOCAL_PARTS.flatMap(([local, isGood]) => [local, `${local}@x.test`].map((name) => ({ name, isGood })))
  for (const [i, { name, isGood }] of table.entries()) {
    await makePool(sql, `made-${i}`)
    await makePool(sql, `taken-${i}`)
    const body = { count: 20, config: { username_pattern: name, password_hash: { algorithm: 'none' } } }
    const made = await call('POST', `/v1/batches?pool=made-${i}`, { body, headers: { prefer: 'wait=30' } })
    const refused = { json: { code: /^(pattern_invalid|domain_not_reserved)$/ } }
    t.match(made, isGood ? { status: 201, json: { created_count: 20 } } : refused, name)
    if (!isGood) continue
    const { raw } = await call('GET', `/v1/users/export?format=csv&pool=made-${i}`)
    const taken = await call('POST', `/v1/users/import?format=csv&pool=taken-${i}`, {
      body: raw.toString(),
      headers: FILE,
    })
    t.match(taken, { status: 201, json: { created_count: 20 } }, name)
    t.equal(await stateOf(`taken-${i}`), await stateOf(`made-${i}`))
  }
})

t.test('an import is a batch: it can be read, listed, followed, cancelled and deleted', async (t) => {
  await makePool(sql, 'as-batch')
  const body = '{"username":"mine@example.com"}\n{"username":"other@example.com","batch_id":null}\n{"username":"x"}\n'
  const headers = { 'content-type': 'application/x-ndjson; charset=utf-8' }
  const query = 'pool=as-batch&on_conflict=skip&label=from+a+file'
  const made = await call<{ id: string }>('POST', `/v1/users/import?${query}`, { body, headers })
  const path = `/v1/batches/${made.json.id}`
  t.match(made, {
    status: 201,
    headers: { location: `${path}?pool=as-batch` },
    json: {
      kind: 'import',
      label: 'from a file',
      status: 'completed_with_failures',
      total_requested: 3,
      created_count: 2,
      updated_count: 0,
      skipped_count: 0,
      failed_count: 1,
      progress: 1,
      eta_seconds: null,
      finished_at: String,
      config: { on_conflict: 'skip', format: 'ndjson' },
      profile: { duration_ms: Number, peak_memory_bytes: Number, chunks: 1, workers: 1 },
    },
  })
  const get = (path: string) => call<{ items: unknown[] }>('GET', `${path}?pool=as-batch`)
  t.strictSame((await get(path)).json, made.json)
  t.strictSame((await get('/v1/batches')).json.items, [made.json])
  t.strictSame((await get(`${path}/failures`)).json.items, [{ n: 3, username: 'x', email: '', code: 'invalid_row' }])
  t.match((await get(`${path}/events`)).raw.toString(), /event: end/)
  t.strictSame((await call('POST', `${path}/cancel?pool=as-batch`)).json, made.json)
  t.match(await call('DELETE', `${path}?pool=as-batch`), { json: { deleted_count: 1, protected_count: 0 } })
  const left = await sql`select username from users u join pools p on p.id = u.pool_id where p.name = 'as-batch'`
  t.same(left, [{ username: 'other@example.com' }])
})

t.test('an empty body imports no users', async (t) => {
  for (const [format, body] of Object.entries({ ndjson: '', json: '[]', csv: 'username\n' })) {
    const answer = await call('POST', `/v1/users/import?format=${format}`, { body, headers: FILE })
    t.match(answer, { status: 201, json: { status: 'completed', total_requested: 0, progress: 1 } }, format)
  }
})

t.test('a time with more than six digits is rounded as in plain SQL', async (t) => {
  await makePool(sql, 'times')
  const times = [
    '2024-01-01t00:00:00.1234565z',
    '2024-01-01T00:00:00.123456789+05:00',
    '2024-12-31T23:59:59.9999995Z',
    '9999-12-31T23:59:59.999999499Z',
  ]
  const body = JSON.stringify(
    times.map((time, i) => ({ username: `t${i}@x.test`, created_at: time, updated_at: time })),
  )
  const post = () =>
    call('POST', '/v1/users/import?pool=times&on_conflict=update', {
      body,
      headers: { 'content-type': 'application/json' },
    })
  t.match(await post(), { status: 201, json: { created_count: 4, failed_count: 0 } })
  const state = await stateOf('times')
  const rows = await sql`
    select u.created_at = t.time::timestamptz as as_in_sql, u.created_at = u.updated_at as same
    from unnest(${times}::text[]) with ordinality t (time, n) join users u on u.username = 't' || n - 1 || '@x.test'`
  t.strictSame(
    [...rows],
    times.map(() => ({ as_in_sql: true, same: true })),
  )
  await post()
  t.equal(await stateOf('times'), state, 'importing it again changes nothing')
})
