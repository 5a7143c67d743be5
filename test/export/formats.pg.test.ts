import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { applyExport } from './apply-export.ts'
import { NOTHING } from './observe.ts'

const t = suite()

/* The formats, read by Python's csv and json and by PostgreSQL's COPY; and shards. */

const run = promisify(execFile)
const { sql, call } = await sharedService(t)
const folder = await mkdtemp(join(tmpdir(), 'usersync-formats-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const COLUMNS = 'id,username,email,role,is_test_user,batch_id,created_by_bulk,custom_attributes,created_at,updated_at'
const BATCH = '01890000-0000-7000-8000-000000000000'

/** Names that are hard to parse in CSV: quotes, separators, line breaks, formulas, and text of several Unicode planes. */
const AWKWARD = [
  'plain',
  'comma, and more',
  'quote " inside',
  '"quoted"',
  'two\nlines',
  'carriage\r\nreturn',
  '=1+1',
  '+49',
  '-5',
  '@sum',
  '\ttab',
  ' blank ',
  '\\.',
  '\\N',
  "apostrophe'",
  'semi;colon',
  'ünï ☃ 😀 \u{10fffd}',
]
for (const [n, name] of AWKWARD.entries()) {
  const attributes = n % 2 === 0 ? {} : { note: name, list: [1, 'x,y'] }
  await sql`
    insert into users (username, email, role, batch_id, custom_attributes)
    values (${name}, ${`awkward${n}@example.com`}, 'user', ${n % 3 === 0 ? null : BATCH}, ${JSON.stringify(attributes)})`
}
/** The users of the sharded pool. The shares of random ids deviate by 0.6 % of all at 6,000, by 0.3 % at 30,000. */
const [LARGE, DEVIATION] = sized([6_000, 0.035], [30_000, 0.0167])
await sql`insert into pools (name) values ('large')`
await sql`
  insert into users (pool_id, username, email)
  select p.id, 'u' || n, 'u' || n || '@example.com' from pools p, generate_series(1, ${LARGE}::int) n where p.name = 'large'`

interface User {
  [member: string]: unknown
  id: string
}

const text = async (query: string) => (await call('GET', `/v1/users/export?${query}`)).raw.toString()
const users = async () => (JSON.parse(await text('')) as { users: User[] }).users

/** The expected cells of a user's CSV row. */
const cells = (user: User) =>
  COLUMNS.split(',').map((column) => {
    const value = user[column]
    return value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
  })

/** JSON without the spaces that PostgreSQL adds, as `JSON.stringify` writes it. */
const compact = (row: string[]) => row.map((cell, i) => (i === 7 ? JSON.stringify(JSON.parse(cell)) : cell))

async function python(program: string, ...args: string[]): Promise<unknown> {
  return JSON.parse((await run('python3', ['-c', program, ...args])).stdout)
}

const withoutPython = (await run('python3', ['--version']).then(
  () => false,
  () => 'python3 is not installed',
)) as false | string

const READ_CSV = `
import csv, json, sys
print(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))))`

t.test('Python’s csv reads the CSV format correctly', { skip: withoutPython }, async (t) => {
  const file = join(folder, 'full.csv')
  const body = await text('format=csv')
  await writeFile(file, body)
  const [head, ...rows] = (await python(READ_CSV, file)) as string[][]
  t.equal(head?.join(','), COLUMNS)
  t.strictSame(rows.map(compact), (await users()).map(cells))
  t.ok(body.endsWith('\n') && !body.replaceAll('carriage\r\nreturn', '').includes('\r'), 'lines end with LF only')
  for (const formula of ['=1+1', '+49', '-5', '@sum', '\ttab'])
    t.ok(body.includes(`,"${formula}",`), `${formula} is quoted`)
  t.ok(body.includes(',plain,awkward0@example.com,user,true,,false,{},'), 'quotes only where needed')
})

t.test('PostgreSQL’s COPY reads the same rows from the CSV format', async (t) => {
  const connection = await sql.reserve()
  await connection.unsafe('create temp table copied (like usersync.users including defaults excluding constraints)')
  await connection.unsafe('alter table copied alter commit_id drop not null, alter commit_id drop default')
  await connection.unsafe(
    'alter table copied alter entered_commit_id drop not null, alter entered_commit_id drop default',
  )
  const copy = await connection.unsafe(`copy copied (${COLUMNS}) from stdin with (format csv, header match)`).writable()
  await new Promise<void>((resolve, reject) => {
    copy.on('error', reject).on('finish', resolve)
    text('format=csv').then((body) => copy.end(body), reject)
  })
  const differences = await connection.unsafe(`
    (select ${COLUMNS} from copied except select ${COLUMNS} from usersync.users where pool_id = 1)
    union all (select ${COLUMNS} from usersync.users where pool_id = 1 except select ${COLUMNS} from copied)`)
  t.same(differences, [])
  t.same(await connection.unsafe('select count(*)::int as count from copied'), [{ count: AWKWARD.length }])
  connection.release()
})

t.test('a CSV delta has the operation in its first column', { skip: withoutPython }, async (t) => {
  const [first, second, third] = (await users()) as [User, User, User]
  const { headers } = await call('HEAD', '/v1/users/export')
  const base = headers['usersync-state']
  t.equal(await text(`format=csv&base=${base}`), `op,${COLUMNS}\n`, 'unchanged: an empty delta')
  await sql`delete from users where id = ${first.id}`
  await sql`update users set role = 'a, b' where id = ${second.id}`
  await sql`insert into users (username, email) values ('new', 'new@example.com')`
  const file = join(folder, 'delta.csv')
  const answer = await call('GET', `/v1/users/export?base=${base}`, { headers: { accept: 'text/csv' } })
  t.match(answer.headers, {
    'content-type': 'text/csv; charset=utf-8',
    'usersync-kind': 'delta',
    'usersync-base': base,
  })
  await writeFile(file, answer.raw)
  const [head, ...rows] = (await python(READ_CSV, file)) as string[][]
  t.equal(head?.join(','), `op,${COLUMNS}`)
  t.ok(rows.every((row) => row.length === 11))
  t.strictSame(
    rows.map(([op, id, name, , role]) => [op, id === first.id ? 'first' : name, role]),
    [
      ['deleted', 'first', ''],
      ['added', 'new', 'user'],
      ['updated', second['username'], 'a, b'],
    ],
  )
  t.notOk(rows.some(([, id]) => id === third.id))
})

t.test('credentials are the last cells of a CSV row', { skip: withoutPython }, async (t) => {
  const config = { password: 'a"b,c', password_hash: { algorithm: 'argon2id' } }
  const headers = { prefer: 'wait=30' }
  const { json } = await call<{ id: string }>('POST', '/v1/batches', { body: { count: 2, config }, headers })
  const file = join(folder, 'logins.csv')
  await writeFile(file, await text(`format=csv&include=password_hash,password&batch_id=${json.id}`))
  const [head, ...rows] = (await python(READ_CSV, file)) as string[][]
  t.equal(head?.join(','), `${COLUMNS},password,password_hash`)
  t.equal(rows.length, 2)
  for (const row of rows) t.match(row.slice(-2), ['a"b,c', /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/])
  const line = await text(`format=csv&include=password&batch_id=${BATCH}`)
  t.match(line.split('\n')[1], /Z,$/, 'empty for a user without credentials')
})

t.test('Python’s json reads the same users from NDJSON and JSON', { skip: withoutPython }, async (t) => {
  const file = join(folder, 'users')
  await writeFile(`${file}.ndjson`, await text('format=ndjson'))
  await writeFile(`${file}.json`, await text(''))
  const program = `
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding='utf-8')]
print(json.dumps(lines[1:-1] == json.load(open(sys.argv[2], encoding='utf-8'))['users'] and len(lines) - 2))`
  t.equal(await python(program, `${file}.ndjson`, `${file}.json`), (await users()).length)
})

t.test('the shards together are the pool, disjoint, of similar size, and reproducible', async (t) => {
  const idsOf = (body: string) => (body.match(/"id":"[^"]+"/g) ?? []) as string[]
  const whole = await text('pool=large&format=ndjson')
  const parts = await Promise.all([0, 1, 2].map((i) => text(`pool=large&format=ndjson&shard=${i}/3`)))
  t.strictSame(parts.flatMap(idsOf).toSorted(), idsOf(whole).toSorted())
  const stateIn = (body: string) => (JSON.parse(body.slice(0, body.indexOf('\n'))) as { state: string }).state
  for (const [i, part] of parts.entries()) {
    const share = idsOf(part).length / LARGE
    t.ok(Math.abs(share - 1 / 3) < DEVIATION, `${share}`)
    t.equal(stateIn(part), stateIn(whole), 'the state is that of the whole pool')
    t.match(JSON.parse(part.slice(0, part.indexOf('\n'))), {
      total_count: LARGE,
      counts: { added: idsOf(part).length },
    })
    t.match(part.trimEnd().split('\n').at(-1), new RegExp(`"lines":${idsOf(part).length}}$`))
    t.equal(await text(`pool=large&format=ndjson&shard=${i}/3`), part)
  }
  t.equal(await text('pool=large&format=ndjson&shard=0/1'), whole)
})

t.test('users of half a megabyte each can be exported', async (t) => {
  const heavy = sized(18, 60)
  await sql`insert into pools (name) values ('heavy')`
  await sql`
    insert into users (pool_id, username, email, custom_attributes)
    select p.id, 'h' || n, 'h' || n || '@example.com',
      case when n % 3 = 0 then '{}' else jsonb_build_object('text', repeat(md5(n::text), 16000)) end
    from pools p, generate_series(1, ${heavy}::int) n where p.name = 'heavy'`
  const body = await text('pool=heavy&format=ndjson')
  t.ok(body.length > heavy * 340_000)
  const { held } = applyExport(NOTHING, body)
  t.equal(held.lines.size, heavy)
})

t.test('the deltas of all shards together are the delta', async (t) => {
  const { headers } = await call('HEAD', '/v1/users/export?pool=large')
  const base = headers['usersync-state']
  const [pool] = await sql<{ id: number }[]>`select id from pools where name = 'large'`
  const inPool = sql`pool_id = ${pool?.id ?? 0}`
  await sql`update users set role = 'changed' where ${inPool} and username like 'u1__'`
  await sql`delete from users where ${inPool} and username like 'u2__'`
  interface Delta {
    counts: { added: number; updated: number; deleted: number }
    updated: User[]
    deleted: string[]
  }
  const read = async (query: string) => JSON.parse(await text(`pool=large&base=${base}${query}`)) as Delta
  const whole = await read('')
  const parts = await Promise.all([0, 1, 2, 3].map((i) => read(`&shard=${i}/4`)))
  t.strictSame(whole.counts, { added: 0, updated: 100, deleted: 100 })
  t.strictSame(parts.flatMap(({ deleted }) => deleted).toSorted(), whole.deleted.toSorted())
  t.strictSame(
    parts.flatMap(({ updated }) => updated.map(({ id }) => id)).toSorted(),
    whole.updated.map(({ id }) => id).toSorted(),
  )
  for (const { counts, updated, deleted } of parts) {
    t.strictSame([counts.updated, counts.deleted], [updated.length, deleted.length])
    t.ok(updated.length > 5 && updated.length < 60)
  }
})

t.test('an invalid shard is rejected', async (t) => {
  for (const shard of ['3/3', '4/3', '0/0', '1', '-1/3', '0/3/1', '1.0/3', 'a/b', '', '0/99999']) {
    const answer = await call('GET', `/v1/users/export?shard=${encodeURIComponent(shard)}`)
    t.match(answer, { status: 400, json: { code: 'invalid_request', errors: [{ path: 'querystring.shard' }] } }, shard)
  }
})

t.test('Accept selects the format unless the query does', async (t) => {
  const table: [
    accept: string | undefined,
    query: string,
    form: 'application/json' | 'application/x-ndjson' | 'text/csv' | 406,
  ][] = [
    [undefined, '', 'application/json'],
    ['', '', 'application/json'],
    ['*/*', '', 'application/json'],
    ['application/*', '', 'application/json'],
    ['application/json', '', 'application/json'],
    ['application/x-ndjson', '', 'application/x-ndjson'],
    ['application/json;q=0.5, application/x-ndjson', '', 'application/x-ndjson'],
    ['application/json, application/x-ndjson;q=0.5', '', 'application/json'],
    ['text/html, application/x-ndjson;q=0.1', '', 'application/x-ndjson'],
    ['text/html, */*;q=0.1', '', 'application/json'],
    ['application/json', 'format=ndjson', 'application/x-ndjson'],
    ['text/html', 'format=json', 'application/json'],
    ['text/csv', '', 'text/csv'],
    ['text/csv;q=0.5, application/json;q=0.4', '', 'text/csv'],
    ['text/*', '', 'text/csv'],
    ['application/json', 'format=csv', 'text/csv'],
    ['application/json; charset=utf-8', '', 'application/json'],
    ['text/csv;header=present;q=0.5, application/x-ndjson;charset=utf-8;q=0.9', '', 'application/x-ndjson'],
    [
      'application/json; q=0.1, text/csv ; q = 0.2, application/x-ndjson; charset=utf-8; q=0.9',
      '',
      'application/x-ndjson',
    ],
    ['application/json; q=0, text/csv; charset=utf-8; q=0.1', '', 'text/csv'],
    ['text/html', '', 406],
    ['application/json;q=0, application/x-ndjson;q=0, text/csv;q=0', '', 406],
  ]
  for (const [accept, query, form] of table) {
    const { status, headers, json } = await call('GET', `/v1/users/export?${query}`, {
      headers: accept === undefined ? {} : { accept },
    })
    if (form === 406) t.match({ status, json }, { status: 406, json: { code: 'not_acceptable' } }, `${accept}`)
    else t.match(headers['content-type'], new RegExp(`^${form}`), `${accept} ${query}`)
  }
  t.match(await call('GET', '/v1/users/export', { headers: { 'accept-encoding': 'identity;q=0' } }), { status: 406 })
})
