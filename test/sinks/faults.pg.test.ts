import { PRESETS } from '../../src/sync/kinds/postgres/presets.ts'
import { startProxy } from '../database-proxy.ts'
import { suite } from '../suite.ts'
import { LISTED_HOST, sinkRoutes, sinkService, startSystem } from './sink.ts'
import { BETTER_AUTH, DJANGO } from './systems.ts'

const t = suite()

/* What is wrong with a target is found at its creation, or by its first run, which says what to mend. */

const service = await sinkService(t)
const { call, sql, log } = service
const system = await startSystem(t, DJANGO)
const { create, sync, failures, batch, clear, status } = sinkRoutes(service)
await batch(30)
await system.sql`create view active_user as select name as username from auth_group`

const table = {
  table: 'auth_user',
  columns: { username: '{username}', password: { $member: 'password_hash' } },
  key: ['username'],
}

t.test('all faults of a new target are listed with their paths', async (t) => {
  const faults: Record<string, Record<string, unknown>> = {
    'body.url': { url: 'postgres://u@db.example.com:5432/x' },
    'body.key': { url: 'postgres://u:s3cret-1@127.0.0.1:5432/x', key: 's3cret-2' },
    'body.preset': { preset: 'jango' },
    'body.mapping': { preset: undefined },
    'body.remote_pool': { remote_pool: 'x' },
    'body.filter.test_users_only': { filter: { test_users_only: false } },
    'body.limits.batch': { limits: { batch: 0 } },
  }
  for (const [path, members] of Object.entries(faults)) {
    const answer = await create({ name: 'wrong', url: system.url, preset: 'django', ...members })
    t.match(answer, { status: 400, json: { errors: [{ path }] } }, path)
  }
  for (const url of [
    'postgres://127.0.0.1/x',
    'postgres://u@127.0.0.1',
    'postgres://u@/x?host=/tmp',
    'http://127.0.0.1',
    'postgres://u@127.0.0.1/x?sslrootcert=/etc/passwd',
    'postgres://u@127.0.0.1,127.0.0.2/x',
  ])
    t.match(
      await create({ name: 'wrong', url, preset: 'django' }),
      { status: 400, json: { errors: [{ path: 'body.url' }] } },
      url,
    )
  const port = { kind: 'ldap', url: 'ldap://127.0.0.1:99999', mapping: {} }
  for (const [members, message] of [
    [{ interval_seconds: -5 }, /interval_seconds must be a whole number from 1 to 86400 or null$/],
    [{ url: 'postgres://u@127.0.0.1:99999/x' }, /port from 1 to 65535/],
    [port, /port from 1 to 65535/],
    [{ ...port, kind: 'scim', url: 'http://127.0.0.1:99999' }, /port from 1 to 65535/],
  ] as const)
    t.match(await create({ name: 'wrong', url: system.url, preset: 'django', ...members }), {
      json: { detail: message },
    })
  const mapping = {
    tables: [
      {
        ...table,
        columns: { a: '{nobody}', b: { $member: 'x' }, c: { $returned: 'later' }, d: '{', e: '{password_hash}' },
      },
      { ...table, columns: { username: 'the same', password: { $member: 'password_hash' } }, returning: 'username' },
    ],
  }
  const { json } = await create({ name: 'wrong', url: 'postgres://u@elsewhere/x', mapping })
  t.strictSame(
    json.errors?.map(({ path }) => path.replace('body.mapping.tables.', '')),
    [
      'body.url',
      ...['a', 'b', 'c', 'd', 'e'].map((name) => `0.columns.${name}`),
      '0.key.0',
      '1.table',
      '1.key',
      '1.returning',
    ],
  )
  t.match(await call('POST', '/v1/targets', { body: { name: 'wrong', url: 'http://127.0.0.1:9', preset: 'django' } }), {
    status: 400,
    json: { errors: [{ path: 'body.preset' }] },
  })
  t.equal((await create({ name: 'listed', url: `postgres://u@${LISTED_HOST}/x`, preset: 'django' })).status, 201)
})

t.test('a run does not connect to a host that is no longer listed', async (t) => {
  await create({ name: 'unlisted', url: `postgres://u@${LISTED_HOST}/x`, preset: 'django' })
  await sql`update targets set url = replace(url, ${LISTED_HOST}, 'formerly.invalid') where name = 'unlisted'`
  t.match(await sync('unlisted'), { status: 'failed', failure: 'refused', detail: /TARGET_HOSTS/, attempts: 0 })
})

t.test('what only the database knows is the failure of the run, in under 5 s, and nothing is written', async (t) => {
  const url = new URL(system.url)
  const at = (change: (url: URL) => void) => {
    const changed = new URL(url)
    change(changed)
    return changed.href
  }
  const cases: Record<string, [object, string, RegExp]> = {
    'no-table': [{ mapping: { tables: [{ ...table, table: 'no_such' }] } }, 'refused', /tables\.0\.table: .*no_such/],
    'no-column': [{ mapping: { tables: [{ ...table, returning: 'uid' }] } }, 'refused', /no column uid/],
    'no-key': [
      { mapping: { tables: [{ ...table, columns: { ...table.columns, email: '{email}' }, key: ['email'] }] } },
      'refused',
      /no unique index on exactly \(email\)/,
    ],
    view: [
      { mapping: { tables: [{ ...table, table: 'active_user' }] } },
      'refused',
      /active_user is a view .*table behind/,
    ],
    'no-database': [{ url: at((url) => (url.pathname = '/nowhere')) }, 'refused', /does not exist/],
    'no-user': [{ url: at((url) => (url.username = 'nobody_s')) }, 'unauthorized', /user or the password/],
  }
  for (const [name, [members, failure, detail]] of Object.entries(cases)) {
    const began = performance.now()
    const made = await create({
      name,
      url: system.url,
      ...('mapping' in members ? {} : { preset: 'django' }),
      ...members,
    })
    t.equal(made.status, 201, name)
    t.match(await sync(name), { status: 'failed', failure, detail, attempts: 1 }, name)
    t.ok(performance.now() - began < 5_000, `${name}: in ${Math.round(performance.now() - began)} ms`)
    t.match(await status(name), { in_step: false })
  }
  t.equal((await system.sql`select from auth_user where password <> 'own'`).count, 0)
})

t.test('a database that goes away and comes back gets each user once', async (t) => {
  const url = new URL(system.url)
  const proxy = await startProxy(t, Number(url.port))
  url.port = String(proxy.port)
  await create({ name: 'away', url: url.href, preset: 'django', limits: { batch: 3 } })
  await proxy.cut()
  t.match(await sync('away'), { status: 'failed', failure: 'unreachable', attempts: 4 })
  await proxy.restore()
  const running = sync('away')
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await proxy.cut()
    await proxy.restore()
  }
  await running
  t.match(await sync('away'), { status: 'succeeded', failure: null })
  t.equal((await system.sql`select from auth_user where password <> 'own'`).count, 30)
  t.match(await clear('away'), { status: 'succeeded', deleted_count: 30 })
})

t.test('one refused user in many: the others arrive', async (t) => {
  await create({ name: 'long', url: system.url, preset: 'django' })
  await sql`update users set email = repeat('x', 241) || '@example.com' where username = 'u7@example.com'`
  await system.sql`alter table auth_user alter column email type varchar(200)`
  t.match(await sync('long'), { status: 'failed', failure: 'users_refused', added_count: 29 })
  t.match(await failures('long'), [
    { code: 'refused', username: 'u7@example.com', detail: /too long .*: table auth_user\./ },
  ])
  await system.sql`alter table auth_user alter column email type varchar(254)`
  t.match(await sync('long'), { status: 'succeeded', added_count: 1 })
  t.match(await call('PATCH', '/v1/targets/long', { body: { preset: 'laravel' } }), {
    status: 409,
    json: { code: 'target_holds_users' },
  })
  await clear('long')
})

t.test('better-auth: rows in two tables, all or none', async (t) => {
  const better = await startSystem(t, BETTER_AUTH)
  // The hashes are not better-auth's, and nobody logs in here.
  const mapping = JSON.parse(JSON.stringify(PRESETS['better-auth']).replace(',"form":"better-auth"', ''))
  await create({ name: 'better', url: better.url, mapping })
  const [taken] = await sql`select id from users order by id offset 5 limit 1`
  await better.sql`
    insert into account ("id", "accountId", "providerId", "userId", "updatedAt")
    values (${taken?.['id']}, 'own', 'other', 'own', now())`
  const both = () => better.sql`
    select u.email, a.password from "user" u join account a on a."userId" = u.id and a."accountId" = u.id
    where u.id <> 'own' order by u.email`
  t.match(await sync('better'), { status: 'failed', added_count: 29 })
  t.match(await failures('better'), [
    { code: 'exists_already', user_id: taken?.['id'], detail: /unique value: table account\. It stays/ },
  ])
  t.equal((await both()).count, 29)
  t.equal((await better.sql`select from "user"`).count, 30, 'no user without an account')
  await better.sql`delete from account where "providerId" = 'other'`
  t.match(await sync('better'), { status: 'succeeded', added_count: 1 })
  const wanted = await sql`
    select u.email, c.password_hash as password from users u join credentials c on c.id = u.credential_id order by u.email`
  t.strictSame([...(await both())], [...wanted])
  await better.sql`delete from account where "userId" = ${taken?.['id']}`
  await sql`update users set role = 'changed' where id = ${taken?.['id']}`
  t.match(await sync('better'), { status: 'succeeded', updated_count: 1 })
  t.equal((await both()).count, 30, 'rows that somebody removed are made again')
  t.match(await clear('better'), { status: 'succeeded', deleted_count: 30 })
  t.equal((await better.sql`select from "user"`).count + (await better.sql`select from account`).count, 2)
})

t.test('what a request asks of the wrong target says what to do instead', async (t) => {
  await create({ name: 'asked', url: system.url, preset: 'django' })
  t.match(await call('POST', '/v1/sync/verify', { body: { target: 'asked' } }), {
    status: 400,
    json: { errors: [{ path: 'body.target', message: /kind postgres\. GET \/v1\/sync\/status .* "full": true/ }] },
  })
  t.match(await call('POST', '/v1/targets/asked/clear', { body: { dry_run: true } }), {
    status: 400,
    json: { errors: [{ path: 'body.dry_run', code: 'unknown_member' }] },
  })
  t.match(await call('GET', '/v1/sync/runs?target=nope'), { status: 404, json: { code: 'target_not_found' } })
  t.match(await call('GET', '/v1/sync/runs?target=asked'), { status: 200, json: { items: [] } }, 'nothing was queued')
})

t.test('a dry run counts, shows three users without secrets, and leaves no trace', async (t) => {
  const url = new URL(system.url)
  url.password = 's3cret-of-the-database'
  t.match(await create({ name: 'dry', url: url.href, preset: 'django' }), {
    json: { has_key: true, url: /^postgres:\/\/[^:@]+@/ },
  })
  const answer = await call('POST', '/v1/sync', { body: { target: 'dry', dry_run: true } })
  t.match(answer, {
    status: 200,
    json: {
      dry_run: true,
      added_count: 30,
      deleted_count: 0,
      users: [{ operation: 'create', rows: [{ password: '(hidden)', is_active: 'true' }] }, {}, {}],
    },
  })
  t.equal((answer.json as { users: [] }).users.length, 3)
  t.strictSame([...(await sql`select from sink_users where target = 'dry'`)], [])
  t.match(await sync('dry'), { status: 'failed', failure: 'unauthorized', attempts: 1, added_count: 0 })
  const key = decodeURIComponent(new URL(system.url).password)
  t.equal((await call('PATCH', '/v1/targets/dry', { body: { key } })).status, 200)
  t.match(await sync('dry'), { status: 'succeeded', added_count: 30 })
  t.match(await call('POST', '/v1/sync', { body: { target: 'dry', dry_run: true } }), {
    json: { kind: 'unchanged', users: [] },
  })
  const [row] = await sql<{ key_ciphertext: Buffer; url: string }[]>`select * from targets where name = 'dry'`
  t.notOk(row?.key_ciphertext.includes('s3cret') || row?.url.includes('s3cret'))
  t.notOk(log.some((line) => /s3cret|pbkdf2_sha256\$/.test(line)))
  await clear('dry')
})

t.test('a pool whose users a target has is deleted by force only', async (t) => {
  await call('POST', '/v1/pools', { body: { name: 'gone' } })
  await call('POST', '/v1/targets', {
    body: { pool: 'gone', name: 'sink', kind: 'postgres', url: system.url, preset: 'django' },
  })
  const body = { pool: 'gone', count: 2, config: { username_pattern: 'g{n}@example.com' } }
  await call('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
  const { json: run } = await call<{ id: string }>('POST', '/v1/sync', { body: { pool: 'gone', target: 'sink' } })
  for (let at = null; at === null; )
    at = (await call<{ finished_at: null }>('GET', `/v1/sync/runs/${run.id}?pool=gone`)).json.finished_at
  t.match(await call('DELETE', '/v1/pools/gone'), { status: 409, json: { code: 'target_holds_users', detail: /sink/ } })
  t.equal((await call('DELETE', '/v1/pools/gone?force=true')).status, 204)
  t.equal((await system.sql`select from auth_user where username like 'g_@%'`).count, 2)
})
