import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { outFolder, pull, startPull } from './pull-process.ts'

const t = suite()

/* Whatever happened to the files since the last round, the next one ends with the export. */

// Some pulls run in their own process, which takes a second to start on a busy machine.

const { url, call, sql } = await sharedService(t)
const folder = await outFolder(t)
const out = join(folder, 'users.csv')
const base = `${out}.base`
await sql`insert into users (username, email) select 'u' || n, 'u' || n || '@example.com' from generate_series(1, 500) n`

async function pullTo(t: Test, kind: RegExp, what: string, options: Record<string, string> = {}) {
  t.match(await pull({ url, out, ...options }), { code: 0, output: kind }, what)
  t.equal(await readFile(out, 'utf8'), (await call('GET', '/v1/users/export?format=csv')).raw.toString(), what)
}

/** Flips a bit, or cuts the file there. */
async function damage(path: string, at: number, how: 'flip' | 'cut') {
  const bytes = await readFile(path)
  if (how === 'flip') bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, how === 'flip' ? bytes : bytes.subarray(0, at))
}

t.test('a damaged base leads to a full export', async (t) => {
  await pullTo(t, /full, 500 users/, 'the first')
  const { length } = await readFile(base)
  const label = (await readFile(base)).indexOf('\n')
  const places = {
    'the options': 20,
    'the checksum': label - 150,
    'the first line': label + 30,
    'a user': 50_000,
    'the end': length - 3,
  }
  for (const [what, at] of Object.entries(places)) {
    for (const how of ['flip', 'cut'] as const) {
      await damage(base, at, how)
      await sql`update users set role = role || '.' where username = 'u7'`
      await pullTo(t, /full/, `${how} at ${what}`)
    }
  }
  await damage(base, 50_000, 'flip')
  await pullTo(t, /full/, 'with no change')
  await damage(base, 0, 'cut')
  await pullTo(t, /full/, 'empty')
  await rm(base)
  await pullTo(t, /full/, 'missing')
  await pullTo(t, /unchanged/, 'repaired')
})

t.test('an output file that does not match its base is rebuilt from it', async (t) => {
  await damage(out, 5_000, 'flip')
  await pullTo(t, /unchanged, 500 users.* [1-9]\d* B/, 'a flipped byte')
  await rm(out)
  await sql`update users set role = 'x' where username = 'u7'`
  await pullTo(t, /delta/, 'missing')
  // As after a crash between the renames: the base is new, the output file is not.
  const before = await readFile(out)
  await sql`update users set role = 'y' where username = 'u7'`
  await pullTo(t, /delta/, 'a round')
  await writeFile(out, before)
  await pullTo(t, /unchanged/, 'the previous state')
  await damage(base, (await readFile(base)).indexOf('\n') - 10, 'flip')
  await pullTo(t, /unchanged/, 'the output file’s checksum in the base')
})

t.test('a file with only a new modification time is accepted', async (t) => {
  await utimes(out, 1, 1)
  for (const path of [out, base]) await writeFile(`${path}.part`, 'left by a killed pull')
  await pullTo(t, /unchanged.* 0 B/, 'other times')
  t.notMatch((await readdir(folder)).join(), /part/, 'removed, although nothing was written')
})

t.test('a base for other options is not used', async (t) => {
  await sql`insert into pools (name) values ('other')`
  const others: Record<string, string>[] = [
    { pool: 'other' },
    { shard: '0/2' },
    { shard: '1/2' },
    { filter: 'bulk_users_only=true' },
    { filter: 'test_users_only=false' },
    { include: 'password' },
    { format: 'ndjson' },
  ]
  for (const options of others) {
    t.match(await pull({ url, out, ...options }), { code: 0, output: /full/ }, JSON.stringify(options))
    t.match(await pull({ url, out, ...options }), { code: 0, output: /unchanged/ })
  }
  await pullTo(t, /full/, 'as at first', { filter: 'bulk_users_only=false,test_users_only=true' })
  await pullTo(t, /unchanged/, 'explicit defaults are the same options', { pool: 'default' })
})

t.test('an unknown pool leaves the files unchanged', async (t) => {
  const before = await readFile(out, 'utf8')
  t.match(await pull({ url, out, pool: 'missing' }), { code: 5, output: /pool_not_found/ })
  t.equal(await readFile(out, 'utf8'), before)
})

t.test('--every notices changes to the files between its rounds', async (t) => {
  const { output, child, ended } = startPull(t, { url, out, every: '1s' })
  const rounds = async (count: number) => {
    while (output().split('\n').length <= count) await new Promise((resolve) => child.stderr?.once('data', resolve))
  }
  await rounds(1)
  await rm(out)
  await damage(base, 50_000, 'flip')
  await rounds(3)
  child.kill('SIGTERM')
  t.equal(await ended, 0)
  t.match(output(), /full/)
  await pullTo(t, /unchanged/, 'afterwards')
})
