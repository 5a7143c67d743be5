import { glob, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { runEveryStatement, USERS } from './every-statement.ts'
import { fillPool } from './fill-pool.ts'
import { recordPlans } from './plan-recorder.ts'

const t = suite()

/*
 * Runs every statement of the service, through its routes, with each kind of statistics that a database can have. No
 * statement may read more rows or pages than it returns or changes would explain. PostgreSQL counts while the statement
 * runs.
 */

const OTHERS = sized(6_500, 18_000)

/** What a statement may read for each row that its request returns or changes, and in addition. */
const ROWS = { each: 6, beside: 1_500 }
const BUFFERS = { each: 80, beside: 3_000 }

const KINDS = {
  'no statistics': async () => {},
  'statistics of another pool': async (sql) => {
    await fillPool(sql, 'default', OTHERS)
    await sql`analyze`
  },
  'true statistics': async () => {},
} satisfies Record<string, (sql: ReturnType<typeof connect>) => Promise<void>>

/** Statements that run in the background during any step, and the rows that they may read. */
const EXCEPTIONS: [RegExp, number][] = [
  [/^delete from audit_events/, 10_000], // deletes up to that many
  [/^select w\.commit_id/, 10_000], // counts the tombstones that it may prune
  [/as is_plenty/, 20_000], // once a second while users are leased: whether there are that many
]

/** The texts of all statements that ran. */
const seen = new Set<string>()

/** With the statistics of another pool, plans are the hardest to get right. */
const RUN = sized(['statistics of another pool'] as const, Object.keys(KINDS) as (keyof typeof KINDS)[])

for (const kind of RUN) {
  t.test(`every statement stays within its limits, with ${kind}`, (t) => runAll(t, kind))
}

t.test('every statement in src was run', async (t) => {
  const texts = [...seen]
  for (const { file, pieces } of await statementsOf('src')) {
    const ran = texts.some((text) => pieces.every((piece) => text.includes(piece)))
    t.ok(ran, `${file}: ${pieces.join(' … ')}`)
  }
})

async function runAll(t: Test, kind: keyof typeof KINDS): Promise<void> {
  const databaseUrl = await testDatabase()
  const sql = connect({ url: databaseUrl, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  for (const { name } of await sql<{ name: string }[]>`
    select relname as name from pg_class where relkind = 'r' and relnamespace = 'usersync'::regnamespace`) {
    await sql`alter table ${sql(name)} set (autovacuum_enabled = off)`
  }
  await KINDS[kind](sql)
  const poolId = await fillPool(sql, 'later', USERS)
  if (kind === 'true statistics') await sql`analyze`

  const recorder = await recordPlans(t, databaseUrl)
  // The steps run expiry themselves: in the background, it would sweep the credentials of one step during another.
  const pace = { expiryMs: 3_600_000 }
  const service = await startService(t, { DATABASE_URL: recorder.url, EXPORT_CACHE_MB: '0' }, pace)
  const direct = connect({ url: recorder.url, schema: 'usersync', connections: 1, name: 'test', isService: true })
  t.teardown(() => direct.end())

  /** Runs `work`, which returns or changes `size` rows, and checks its statements. */
  async function step<Result>(name: string, size: number, work: () => Promise<Result>): Promise<Result> {
    const result = await work()
    await sleep(20) // the plan of a statement may arrive after its result
    for (const { text, rows, buffers, plan } of recorder.take()) {
      seen.add(text)
      const what = `${name}: ${rows} rows and ${buffers} pages for ${size}: ${text}`
      const most = Math.max(size, EXCEPTIONS.find(([words]) => words.test(text))?.[1] ?? 0)
      if (rows > ROWS.each * most + ROWS.beside || buffers > BUFFERS.each * most + BUFFERS.beside) {
        t.fail(`${what}\n${plan()}`)
      }
    }
    t.pass(name)
    return result
  }

  await runEveryStatement(t, { service, sql, direct, url: recorder.url, poolId, step })
}

/** Each statement in the sources: the texts between its parameters, up to the first nested fragment. */
async function statementsOf(folder: string): Promise<{ file: string; pieces: string[] }[]> {
  const found: { file: string; pieces: string[] }[] = []
  for await (const file of glob(`${folder}/**/*.ts`)) {
    if (file.includes('database/')) continue
    const source = await readFile(file, 'utf8')
    for (const [, text = ''] of source.matchAll(
      /(?:sql|tx|session|savepoint|connection)(?:<[^`]*?>)?`\s*((?:with|select|insert|update|delete)\s[^`]+)/g,
    )) {
      const pieces = text.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}|\$\{.*$/s)
      found.push({ file, pieces: pieces.map((piece) => piece.replace(/\s+/g, ' ').trim()) })
    }
  }
  return found
}
