import { Readable } from 'node:stream'
import postgres from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { takeExport, WHOLE_POOL } from '../../src/replica/apply-export.ts'
import { userLine } from '../../src/states/filter.ts'
import { lookUpScope } from '../../src/states/scope-state.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * A delta of 100 users applied to 12,000 users (60,000 with SIZE=full) reads only the users it contains, by key.
 * PostgreSQL counts, without statistics of the table and with them.
 */

const USERS = sized(12_000, 60_000)
const FEW_ROWS = 2_000

async function fill(url: string): Promise<void> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql.unsafe('alter table users set (autovacuum_enabled = off)')
  await sql`
    insert into users (username, email)
    select 'user' || n, 'user' || n || '@example.com' from generate_series(1, ${USERS}::int) n`
  await sql.end()
}

/** A delta of 40 changed, 30 added and 30 deleted users. Each of its lines is unknown to the replica. */
async function makeDelta(url: string, round: number): Promise<string> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  const before = await lookUpScope(sql, 'default', WHOLE_POOL)
  const rolledBack = new Error('rolled back')
  let body = ''
  await sql
    .begin(async (tx) => {
      const gone = await tx<
        { id: string }[]
      >`delete from users where username = any(select 'user' || 5000 * ${round}::int + n * 7 from generate_series(1, 30) n) returning id`
      await tx`update users set role = 'changed' where username = any(select 'user' || 5000 * ${round}::int + n * 11 + 1000 from generate_series(1, 40) n)`
      await tx`insert into users (username, email, role) select 'new' || ${round}::int || '-' || n, 'new' || ${round}::int || '-' || n || '@example.com', 'changed' from generate_series(1, 30) n`
      const lines = await tx<
        { line: string }[]
      >`select ${userLine(tx, 'u')} as line from users u where role = 'changed' and commit_id = currval('commit_ids')`
      await tx`set constraints all immediate`
      const after = await lookUpScope(tx, 'default', WHOLE_POOL)
      const head = { kind: 'delta', base: before.state, state: after.state, total_count: after.userCount, counts: {} }
      const rows = [...gone.map(({ id }) => `{"deleted":"${id}"}`), ...lines.map(({ line }) => line)]
      body = [JSON.stringify(head), ...rows, JSON.stringify({ end: after.state, lines: lines.length }), ''].join('\n')
      throw rolledBack
    })
    .catch((error) => {
      if (error !== rolledBack) throw error
    })
  await sql.end()
  return body
}

interface Counted {
  seq_scan: number
  rows: number
}

/** The scans of `users`, and the rows that all scans of it and of its keys have read so far. */
async function counted(url: string): Promise<Counted> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql`select pg_stat_clear_snapshot()`
  const [row] = await sql<Counted[]>`
    select seq_scan::int, (seq_tup_read + (
      select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'usersync' and relname = 'users'))::int as rows
    from pg_stat_user_tables where schemaname = 'usersync' and relname = 'users'`
  await sql.end()
  return row ?? { seq_scan: 0, rows: 0 }
}

/** As with a key that has the scope admin. */
const RECEIVER = { pool: 'default', isAdmin: true, reservedDomains: ['example.com'] }

async function checkDelta(t: Test, url: string, round: number): Promise<void> {
  const body = await makeDelta(url, round)
  const before = await counted(url)
  const sql = postgres(url, { max: 1, connection: { search_path: '"usersync", pg_temp' } })
  const taken = await takeExport(sql, RECEIVER, Readable.from([body]))
  await sql.end() // the counts are sent when the session ends
  t.match(taken.counts, { added: 30, updated: 40, deleted: 30 })
  const after = await counted(url)
  t.equal(after.seq_scan, before.seq_scan, 'no scan of users')
  t.ok(after.rows - before.rows < FEW_ROWS, `${after.rows - before.rows} rows were read`)
}

t.test(`a delta among ${USERS} users reads only the users it contains`, async (t) => {
  const url = await testDatabase()
  await fill(url)
  await t.test('without statistics', (t) => checkDelta(t, url, 1))
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql.unsafe('vacuum analyze')
  await sql.end()
  await t.test('with statistics', (t) => checkDelta(t, url, 2))
})
