import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { outFolder, pull, startPull } from './pull-process.ts'

const t = suite()

/* Whatever became of the files since the last round, the next one ends with the export. */

// Each pull is a process, which takes a second to start on a busy machine.
t.setTimeout(300_000)

const { url, call, sql } = await startService(t, { MAX_WORKERS: '1' })
const folder = await outFolder(t)
const out = join(folder, 'users.csv')
const base = `${out}.base`
await sql`insert into users (username, email) select 'u' || n, 'u' || n || '@example.com' from generate_series(1, 500) n`

async function pullTo(t: Test, kind: RegExp, what: string, options: Record<string, string> = {}) {
  t.match(await pull({ url, out, ...options }), { code: 0, told: kind }, what)
  t.equal(await readFile(out, 'utf8'), (await call('GET', '/v1/users/export?format=csv')).raw.toString(), what)
}

/** Changes a byte, or cuts the file there. */
async function damage(path: string, at: number, how: 'flip' | 'cut') {
  const bytes = await readFile(path)
  if (how === 'flip') bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, how === 'flip' ? bytes : bytes.subarray(0, at))
}

t.test('a damaged base is not used', async (t) => {
  await pullTo(t, /full, 500 users/, 'the first')
  const { length } = await readFile(base)
  const label = (await readFile(base)).indexOf('\n')
  const places = {
    'the bound-in options': 20,
    'the sum': label - 150,
    'the head': label + 30,
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
  await pullTo(t, /full/, 'with nothing changed')
  await damage(base, 0, 'cut')
  await pullTo(t, /full/, 'empty')
  await rm(base)
  await pullTo(t, /full/, 'missing')
  await pullTo(t, /unchanged/, 'mended')
})

t.test('an out that is not of the base is made anew from it', async (t) => {
  await damage(out, 5_000, 'flip')
  await pullTo(t, /unchanged, 500 users.* [1-9]\d* B/, 'a flipped byte')
  await rm(out)
  await sql`update users set role = 'x' where username = 'u7'`
  await pullTo(t, /delta/, 'missing')
  // A crash between the renames: the base is new, out is not.
  const before = await readFile(out)
  await sql`update users set role = 'y' where username = 'u7'`
  await pullTo(t, /delta/, 'a round')
  await writeFile(out, before)
  await pullTo(t, /unchanged/, 'the state before')
  await damage(base, (await readFile(base)).indexOf('\n') - 10, 'flip')
  await pullTo(t, /unchanged/, 'the sum of out in the base')
})

t.test('a file that is only touched is good', async (t) => {
  await utimes(out, 1, 1)
  for (const path of [out, base]) await writeFile(`${path}.part`, 'of a pull that was killed')
  await pullTo(t, /unchanged.* 0 B/, 'other times')
  t.notMatch((await readdir(folder)).join(), /part/, 'removed, though nothing was to be written')
})

t.test('a base for something else is not used', async (t) => {
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
    t.match(await pull({ url, out, ...options }), { code: 0, told: /full/ }, JSON.stringify(options))
    t.match(await pull({ url, out, ...options }), { code: 0, told: /unchanged/ })
  }
  await pullTo(t, /full/, 'as at first', { filter: 'bulk_users_only=false,test_users_only=true' })
  await pullTo(t, /unchanged/, 'the defaults are what was asked', { pool: 'default' })
})

t.test('of a pool that is not there nothing is kept', async (t) => {
  const before = await readFile(out, 'utf8')
  t.match(await pull({ url, out, pool: 'missing' }), { code: 5, told: /pool_not_found/ })
  t.equal(await readFile(out, 'utf8'), before)
})

t.test('--every notices what was done to the files between its rounds', async (t) => {
  const { told, child, ended } = startPull(t, { url, out, every: '1s' })
  const rounds = async (count: number) => {
    while (told().split('\n').length <= count) await new Promise((resolve) => child.stderr?.once('data', resolve))
  }
  await rounds(1)
  await rm(out)
  await damage(base, 50_000, 'flip')
  await rounds(3)
  child.kill('SIGTERM')
  t.equal(await ended, 0)
  t.match(told(), /full/)
  await pullTo(t, /unchanged/, 'afterwards')
})
