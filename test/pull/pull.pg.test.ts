import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { outFolder, pull } from './pull-process.ts'

const t = suite()

/* The file that a pull maintains is the export, byte for byte, however the users change. */

// Some pulls run in their own process, which takes a second to start on a busy machine.

const { url, call, sql } = await sharedService(t)
const folder = await outFolder(t)
const FORMATS = ['csv', 'ndjson', 'json']
const outs = FORMATS.map((format) => join(folder, `users.${format}`))

/** Characters that are special in CSV and JSON. */
const AWKWARD = [
  'plain',
  'comma, and "quote"',
  '"',
  'two\nlines\r\n',
  '=1+1',
  '+49',
  '-5',
  '@sum',
  '\ttab',
  '\\',
  '\\"',
  '","created_at":"x","updated_at":"y"}',
  'nul-less \u0001\u001f\u007f\u2028',
  'ünï ☃ 😀 \u{10fffd}',
  '',
]
const NUMBERS = '{"big": 12345678901234567890.123456789000, "exact": 1.50, "small": 1e-30, "created_at": "x"}'

const exported = async (query: string) => (await call('GET', `/v1/users/export?${query}`)).raw.toString()
const untimed = (text: string) => text.replace(/"export_timestamp":"[^"]*"/, '')

/** Pulls each format and compares it with the export. Returns the output. */
async function pullAll(what: string): Promise<string[]> {
  const output: string[] = []
  for (const [i, out] of outs.entries()) {
    const done = await pull({ url, out })
    t.equal(done.code, 0, `${what}: ${done.output}`)
    output.push(done.output)
    t.equal(untimed(await readFile(out, 'utf8')), untimed(await exported(`format=${FORMATS[i]}`)), `${what}, ${out}`)
  }
  return output
}

const COUNT = sized(500, 3_000)
/** Characters of a large user, in pairs. */
const LARGE = sized(40_000, 200_000)

t.test('the file equals the export after each change', async (t) => {
  t.match(await pullAll('no users'), [/^full, 0 users/])
  for (const [n, name] of AWKWARD.entries()) {
    await sql`insert into users (username, email, role, custom_attributes)
      values (${`${name}#${n}`}, ${`awkward${n}@example.com`}, ${name || 'user'}, ${JSON.stringify({ [name]: [name, { name }] })})`
  }
  await sql`insert into users (username, email, custom_attributes)
    values ('numbers', 'numbers@example.com', ${NUMBERS})`
  await sql`insert into users (username, email, custom_attributes)
    values ('large', 'large@example.com', jsonb_build_object('text', repeat('x"', ${LARGE}::int)))`
  t.match(await pullAll('awkward users'), [/delta \+17 ~0 -0, 17 users, state u1-[0-9a-f]{4}…, \d+ KB, \d/])

  const body = { count: COUNT, config: { password_hash: { algorithm: 'none' } } }
  const batch = await call<{ id: string }>('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
  t.equal(batch.status, 201)
  t.match(await pullAll('a batch'), [new RegExp(`delta \\+${COUNT} ~0 -0, ${(COUNT + 17).toLocaleString('en')} users`)])

  await sql`update users set role = role || '!' where username like '%1%'`
  await sql`insert into users (id, username, email) values ('00000000-0000-0000-0000-000000000001', 'first', 'first@example.com')`
  await sql`insert into users (id, username, email) values ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'last', 'last@example.com')`
  await sql`delete from users where username like '%7%'`
  t.match(await pullAll('all at once'), [/delta \+2 ~\d+ -\d+/])
  await call('DELETE', `/v1/batches/${batch.json.id}`)
  t.match(await pullAll('without the batch'), [/delta \+0 ~0 -\d+/])
  await sql`delete from users`
  t.match(await pullAll('no users again'), [/, 0 users/])
})

t.test('if nothing changed, no file is written, and no other file is left', async (t) => {
  const paths = (await readdir(folder)).sort()
  t.strictSame(
    paths,
    outs.flatMap((out) => ['', '.base', '.lock'].map((end) => out.slice(folder.length + 1) + end)).sort(),
  )
  const stamps = () =>
    Promise.all(paths.map(async (path) => (await stat(join(folder, path), { bigint: true })).mtimeNs))
  const before = await stamps()
  t.match(await pullAll('unchanged'), [/unchanged, 0 users, state u1-0000…, 0 B/])
  t.strictSame(await stamps(), before)
})

t.test('credentials are the last cells of each line, and only the owner can read the file', async (t) => {
  const out = join(folder, 'logins.csv')
  const include = 'password,password_hash'
  const config = { password: 'pässwörd s3cret ", ☃', password_hash: { algorithm: 'none' } }
  for (const kind of ['full', 'delta']) {
    await call('POST', '/v1/batches', { body: { count: 20, config }, headers: { prefer: 'wait=60' } })
    await sql`insert into users (username, email) values (${kind}, ${`${kind}@example.com`})`
    const { code, output } = await pull({ url, out, include })
    t.match({ code, output }, { code: 0, output: `${kind}` })
    t.notMatch(output, /warning/)
    t.equal(await readFile(out, 'utf8'), await exported(`format=csv&include=${include}`))
    for (const path of [out, `${out}.base`]) t.equal((await stat(path)).mode & 0o777, 0o600)
  }
  const lost = (names: string) =>
    new RegExp(`warning: ${out} has ${names}, and this pull removes .*, add --include ${include}\\nfull`)
  await writeFile(`${out}.base`, '') // the file itself names its logins too
  t.match(await pull({ url, out, include: 'password' }), { code: 0, output: lost('password_hash') })
  t.equal(await readFile(out, 'utf8'), await exported('format=csv&include=password'))
  await rm(out) // its base names its logins too
  t.match(await pull({ url, out }), { code: 0, output: /warning: .* has password, .* --include password\nfull/ })
  t.equal(await readFile(out, 'utf8'), await exported('format=csv'))
  t.notMatch((await pull({ url, out })).output, /warning/)
})

const SHARDS = sized(4, 10)

t.test('the shards are disjoint and together make up the pool', async (t) => {
  const lines: string[] = []
  for (const kind of ['full', 'delta']) {
    const body = { count: 500, config: { password_hash: { algorithm: 'none' } } }
    await call('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
    lines.length = 0
    for (let i = 0; i < SHARDS; i++) {
      const out = join(folder, `shard-${i}.csv`)
      t.match(await pull({ url, out, shard: `${i}/${SHARDS}` }), { code: 0, output: kind })
      const text = await readFile(out, 'utf8')
      t.equal(text, await exported(`format=csv&shard=${i}/${SHARDS}`))
      lines.push(...text.trim().split('\n').slice(1))
    }
    const all = (await exported('format=csv')).trim().split('\n').slice(1)
    t.strictSame(lines.sort(), all.sort())
  }
})
