import postgres from 'postgres'
import { readFull } from '../../src/export/full.ts'
import { jsonLine, withCredentials } from '../../src/export/lines.ts'
import { findConflicts, independentRows, updateRows } from '../../src/import/apply-rows.ts'
import type { Row } from '../../src/import/row.ts'
import { createStagedRows, RowStage } from '../../src/import/stage-rows.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * A pool that was filled after statistics were taken. The planner then expects no user in it. Statements that join
 * users must still look up each one, instead of reading the whole pool for each.
 */

const USERS = 2_000
const FILTER = { poolId: 2, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }

interface PlanNode {
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Join Filter'?: number
  Plans?: PlanNode[]
}

/** The largest number of rows that passed through one step of the plan, kept or not. */
function maxRows({ Plans = [], ...node }: PlanNode): number {
  const rows = node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Join Filter'] ?? 0)
  return Math.max(rows * node['Actual Loops'], ...Plans.map(maxRows))
}

const DATABASE_URL = await testDatabase()
const { sql: admin, call } = await startService(t, { DATABASE_URL, MAX_WORKERS: '1' })
const config = {
  password_mode: 'per_user',
  password_hash: { algorithm: 'none' },
  username_pattern: 'u_{n}@example.com',
}
const make = async (pool: string, count: number) =>
  await call('POST', '/v1/batches', { body: { pool, count, config }, headers: { prefer: 'wait=60' } })

await admin.unsafe('alter table users set (autovacuum_enabled = off)')
await admin.unsafe('alter table credentials set (autovacuum_enabled = off)')
await make('default', 5_000)
await admin.unsafe('analyze users, credentials')
await call('POST', '/v1/pools', { body: { name: 'later' } })
await make('later', USERS)

const sent: { text: string; parameters: unknown[] }[] = []
const sql = postgres(DATABASE_URL, {
  max: 1,
  connection: { search_path: '"usersync", pg_temp' },
  types: { json: { to: 114, from: [114, 3802], serialize: (text: string) => text, parse: JSON.parse } }, // as in the service
  debug: (_connection, text, parameters) => void sent.push({ text, parameters }),
})
t.teardown(() => sql.end())

/** The largest number of rows in one step of all statements that match `words`. */
async function maxRowsOf(words: RegExp) {
  const statements = sent.splice(0).filter(({ text }) => words.test(text))
  const most: number[] = []
  for (const { text, parameters } of statements) {
    const [row] = await sql.unsafe(`explain (analyze, format json) ${text}`, parameters as never[])
    most.push(maxRows((row as unknown as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan))
  }
  return Math.max(...most)
}

t.test('an export with credentials looks up each user of a pool that the statistics do not know', async (t) => {
  const form = withCredentials(jsonLine, ['password_hash'], Buffer.alloc(32))
  let lines = 0
  for await (const text of readFull(sql, { filter: FILTER, shard: undefined, form }, '\n')) {
    lines += String(text)
      .split('\n')
      .filter((line) => line !== '').length
  }
  t.equal(lines, USERS)
  const most = await maxRowsOf(/credentials/)
  t.ok(most <= 10 * USERS, `${most} rows for ${USERS} users`)
})

t.test('an import looks up each user of a pool that the statistics do not know', async (t) => {
  const rows = Array.from({ length: USERS }, (_, i): Row => {
    const username = `u_${i + 1}@example.com`
    return { n: i + 1, text: JSON.stringify({ username, role: 'changed' }), id: undefined, username, email: username }
  })
  const target = {
    poolId: 2,
    batchId: '01890000-0000-7000-8000-000000000000',
    userIdPrefix: '01890000-0000-7000-8000-0000',
  }
  await createStagedRows(sql)
  const stage = new RowStage(sql, target)
  for (const row of rows) await stage.add(row)
  t.strictSame(stage.pageEnds, [USERS])
  const page = { first: 1, last: USERS }
  t.strictSame(await independentRows(sql, page), page)
  t.equal((await updateRows(sql, page)).filter(({ changed }) => changed).length, USERS)
  const numbers = rows.map(({ n }) => n)
  t.equal((await findConflicts(sql, page, numbers)).length, USERS)
  const most = await maxRowsOf(/staged_rows where/)
  t.ok(most <= 10 * USERS, `${most} rows for ${USERS} rows`)
})
