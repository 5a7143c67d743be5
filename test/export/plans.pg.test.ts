import postgres from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { openSnapshot } from '../../src/database/session.ts'
import { jsonLine } from '../../src/export/lines.ts'
import { makeAnswer, planAnswer } from '../../src/export/make-answer.ts'
import type { State } from '../../src/protocol/state.ts'
import { lookUpScope, oldestBaseAt } from '../../src/states/scope-state.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * How PostgreSQL runs an export among 12,000 users, or 60,000 with SIZE=full. Every statement that the code sends is
 * recorded and explained. Runs once without statistics, as in a pool that was just filled, and once with them.
 */

const USERS = sized(12_000, 60_000)
const CHANGES = 100
const FILTER = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }

interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  Plans?: PlanNode[]
}

const nodesOf = (plan: PlanNode): PlanNode[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** Fills a database. Returns the state before `CHANGES` updates and as many deletions. */
async function fill(url: string): Promise<State> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql.unsafe('alter table users set (autovacuum_enabled = off)')
  const insert = (first: number, last: number) => sql`
    insert into users (username, email)
    select 'user' || n, 'user' || n || '@example.com' from generate_series(${first}::int, ${last}::int) n`
  for (let n = 1; n <= USERS; n += USERS / 10) await insert(n, n + USERS / 10 - 1) // a commit for each insert, as chunks do
  const { state } = await lookUpScope(sql, 'default', FILTER)
  for (let n = 0; n < 10; n++) {
    await sql`update users set role = 'changed' where username = any(select 'user' || (i * 977 + ${n}) from generate_series(1, ${CHANGES / 10}::int) i)`
    await sql`delete from users where username = any(select 'user' || (i * 991 + 100 + ${n}) from generate_series(1, ${CHANGES / 10}::int) i)`
  }
  await sql.end()
  return state
}

async function analyze(url: string): Promise<void> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql.unsafe('vacuum analyze users, scopes, states, tombstones')
  await sql.end()
}

interface Statement {
  text: string
  parameters: unknown[]
}

/** Runs `work` on a snapshot. Returns the plans of all its statements. */
async function plansOf(url: string, work: (sql: Awaited<ReturnType<typeof openSnapshot>>['sql']) => Promise<void>) {
  const statements: Statement[] = []
  const sql = postgres(url, {
    max: 1,
    connection: { search_path: '"usersync", pg_temp' },
    debug: (_connection, text, parameters) => void statements.push({ text, parameters }),
  })
  const snapshot = await openSnapshot(sql)
  statements.length = 0
  await work(snapshot.sql)
  const plans: { statement: string; nodes: PlanNode[] }[] = []
  for (const { text, parameters } of statements.slice()) {
    const rows = await snapshot.sql.unsafe(`explain (analyze, format json) ${text}`, parameters as never[])
    const [{ Plan }] = (rows[0] as unknown as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN']
    plans.push({ statement: text.replace(/\s+/g, ' ').trim(), nodes: nodesOf(Plan) })
  }
  await snapshot.close()
  await sql.end()
  return plans
}

/** Checks that no statement reads a whole table, or sorts or reads more rows than it needs. */
function checkPlans(t: Test, plans: Awaited<ReturnType<typeof plansOf>>, maxRows: number) {
  t.ok(plans.length > 0)
  for (const { statement, nodes } of plans) {
    const what = statement.slice(0, 90)
    const types = nodes.map((node) => `${node['Node Type']} ${node['Relation Name'] ?? ''}`.trim())
    for (const table of ['users', 'states', 'tombstones']) t.notOk(types.includes(`Seq Scan ${table}`), what)
    for (const node of nodes) {
      const rows = node['Actual Rows'] * node['Actual Loops']
      if (!/Scan|Sort/.test(node['Node Type'])) continue
      t.ok(rows <= maxRows, `${what}: ${node['Node Type']} of ${rows} rows`)
    }
  }
}

t.test(`exports among ${USERS} users use their indexes`, async (t) => {
  const url = await testDatabase()
  const base = await fill(url)
  for (const statistics of ['without statistics', 'with statistics']) {
    if (statistics === 'with statistics') await analyze(url)
    await t.test(`a delta reads only what changed, by index: ${statistics}`, (t) => checkDelta(t, url, base))
    await t.test(`a page reads only its own rows, wherever it is: ${statistics}`, (t) => checkPages(t, url))
  }
})

async function checkDelta(t: Test, url: string, base: State): Promise<void> {
  const plans = await plansOf(url, async (sql) => {
    const present = await lookUpScope(sql, 'default', FILTER)
    const filter = { poolId: present.poolId, ...FILTER }
    await oldestBaseAt(sql, 'default', FILTER)
    const plan = await planAnswer(sql, filter, present, { knownStates: [base], differential: true })
    for (const isDeltaById of [false, true]) {
      const answer = await makeAnswer(sql, { filter, shard: undefined, form: jsonLine, isDeltaById }, present, plan)
      t.match(answer.counts, { added: 0, updated: CHANGES, deleted: CHANGES })
      if (answer.content.kind !== 'delta') throw new Error(answer.kind)
      const { delta } = answer.content
      for (const part of [delta.deletedIds(), delta.addedLines(), delta.updatedLines()]) for await (const _ of part);
    }
  })
  t.equal(plans.length, 11, 'scope, oldest base, base; in each order counts and three parts')
  checkPlans(t, plans, CHANGES)
}

async function checkPages(t: Test, url: string): Promise<void> {
  for (const shard of [undefined, { index: 1, count: 3 }]) {
    const plans = await plansOf(url, async (sql) => {
      const present = await lookUpScope(sql, 'default', FILTER)
      const selection = { filter: { poolId: present.poolId, ...FILTER }, shard, form: jsonLine }
      const answer = await makeAnswer(sql, selection, present, { kind: 'full', reason: 'none', base: null })
      if (answer.content.kind !== 'full') throw new Error(answer.kind)
      for await (const _ of answer.content.pages('\n'));
    })
    // The count for a shard is one statement over all users, which keeps no rows. It has no page to compare with.
    const pages = plans.filter(({ statement }) => statement.includes('string_agg'))
    t.ok(pages.length >= (USERS - CHANGES) / 5_000 / (shard?.count ?? 1))
    const looked = [pages[0], pages[Math.floor(pages.length / 2)], pages.at(-1)].filter((page) => page !== undefined)
    checkPlans(t, looked, 5_000)
  }
}
