import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { lineOfCells } from '../../src/export/csv.ts'
import { stateOf } from '../../src/protocol/state.ts'
import { parseUserLine } from '../../src/protocol/user-line.ts'
import type { Service } from '../http/service.ts'
import { outFolder, pull, startPull } from './pull-process.ts'

interface Kills {
  kills: number
  users: number
  /** The program and its first arguments. Default: `usersync pull` of this checkout. */
  program?: string[]
}

/**
 * Kills a pull again and again, at random moments, while users change. Its file is always complete, and the next pull continues from
 * it. Needs an empty pool.
 */
export async function killPulls(
  t: Test,
  { url, call, sql }: Pick<Service, 'url' | 'call' | 'sql'>,
  given: Kills,
): Promise<void> {
  const { kills, users, program } = given
  const folder = await outFolder(t)
  await sql`insert into users (username, email, custom_attributes)
    select 'u' || n, 'u' || n || '@example.com', '{"note": "a, \\"b\\""}' from generate_series(1, ${users}::int) n`
  const exported = async (format: string) => (await call('GET', `/v1/users/export?format=${format}`)).raw.toString()

  let changes = 0

  /** Changes, adds and deletes some hundreds of users. */
  async function change(): Promise<void> {
    const n = ++changes
    await sql`update users set role = ${`r${n}`} where hashtext(username) % 97 = ${n % 97}`
    await sql`delete from users where hashtext(email) % 211 = ${n % 211}`
    await sql`insert into users (username, email) select ${`v${n}-`} || n, ${`v${n}-`} || n || '@example.com' from generate_series(1, 100) n`
  }

  const outs = ['ndjson', 'csv'].map((format) => join(folder, `users.${format}`))
  const begun = performance.now()
  for (const out of outs) t.equal(await startPull(t, { url, out }, {}, program).ended, 0)
  const roundMs = (performance.now() - begun) / 2
  let ended = 0
  let cut = 0
  for (let n = 0; n < kills; n++) {
    const out = outs[n % 2] ?? ''
    const before = await readFile(out, 'utf8')
    if (n % 5 === 0) await rm(`${out}.base`, { force: true }) // sometimes a full export
    const pulling = startPull(t, { url, out, every: '1s' }, {}, program)
    // Half of a round is the start of the program. The time after it matters.
    const until = performance.now() + roundMs * (0.35 + 0.8 * Math.random())
    while (performance.now() < until) {
      await change()
      await sleep(50)
    }
    pulling.child.kill('SIGKILL')
    await pulling.ended
    if (/users, state/.test(pulling.output())) ended++
    if ((await readdir(folder)).some((name) => name.endsWith('.part'))) cut++
    if (await stat(`${out}.base`).catch(() => undefined)) t.ok(await isWhole(out, before), `kill ${n}`)
    else t.equal(await readFile(out, 'utf8'), before)
  }
  t.comment(`${ended} rounds had ended before the kill, ${cut} were cut while writing; ${changes} changes`)
  for (const out of outs) {
    t.match(await pull({ url, out }), { code: 0 })
    t.equal(await readFile(out, 'utf8'), await exported(out.endsWith('csv') ? 'csv' : 'ndjson'))
  }
  t.notMatch((await readdir(folder)).join(), /part/)
}

/** The user lines of an NDJSON export. Throws if some are missing, or if they do not match the state. */
function linesOf(text: string): string[] {
  const [first = '', ...rows] = text.trimEnd().split('\n')
  const head = JSON.parse(first)
  const last = rows.pop()
  const isWhole = rows.length === head.total_count && stateOf(rows) === head.state
  if (isWhole && last === JSON.stringify({ end: head.state, lines: rows.length })) return rows
  throw new Error('incomplete')
}

const csvOf = (lines: string[]) => lines.map((line) => `${lineOfCells(parseUserLine(line)?.cells ?? [])}\n`).join('')

/** Whether the base is complete, and the output file too, in the base's state or the previous one. */
async function isWhole(out: string, before: string): Promise<boolean> {
  const base = await readFile(`${out}.base`, 'utf8')
  const lines = linesOf(base.slice(base.indexOf('\n') + 1))
  const text = await readFile(out, 'utf8')
  if (out.endsWith('ndjson')) return linesOf(text).length > 0
  return text === before || text.slice(text.indexOf('\n') + 1) === csvOf(lines)
}
