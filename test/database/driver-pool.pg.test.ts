import { setTimeout as sleep } from 'node:timers/promises'
import postgres, { type Row, type Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

const DATABASE = await testDatabase()

/* Waiting for a connection, sessions, transactions and cursors (patches/postgres+3.4.9.patch). */

/** PostgreSQL may reset a connection on which it has not read all. */
const LOST = { code: /^(CONNECTION_CLOSED|ECONNRESET|EPIPE|57P01)$/ }

const pidOf = async (on: Pick<Sql, 'unsafe'>) =>
  (await on.unsafe('select pg_backend_pid() as pid'))[0]?.['pid'] as number

const open = (url: string, connections: number, waitMs = 5_000) =>
  connect({ url, schema: 'usersync', connections, name: 'test', waitMs })

t.test('a query waits for a free connection, for a limited time, and never behind another query', async (t) => {
  const sql = open(DATABASE, 1, 300)
  t.teardown(() => sql.end({ timeout: 1 }))
  // The first one opens the connection, and all wait until it is open.
  const slow = sql`select pg_sleep(1)`.execute()
  const [, ...behind] = await Promise.allSettled([slow, sql`select 1`, sql`select 2`])
  const timeout = { status: 'rejected', reason: { code: 'CONNECTION_WAIT_TIMEOUT' } }
  t.match(behind, [timeout, timeout], 'while the connection opens')
  for (const it of behind) t.ok(it.status === 'rejected' && postgres.isConnectionError(it.reason))
  while (!(await sql`select`.catch(() => undefined))); // it opens, however slow this machine is
  const again = sql`select pg_sleep(1)`.execute()
  await t.rejects(sql`select 1`, { code: 'CONNECTION_WAIT_TIMEOUT' }, 'while the connection is busy')
  await again
  t.same(await sql`select 1 as n`, [{ n: 1 }])
})

t.test('a thousand queries wait, and the next one fails at once', async (t) => {
  const sql = open(DATABASE, 1)
  t.teardown(() => sql.end({ timeout: 1 }))
  const session = await sql.reserve()
  const waiting = Array.from({ length: 1_000 }, () => sql`select`.execute())
  await t.rejects(sql`select`, { code: 'CONNECTION_QUEUE_FULL' })
  session.release()
  t.equal((await Promise.all(waiting)).length, 1_000)
  const timers = process.getActiveResourcesInfo().filter((type) => type === 'Timeout')
  t.ok(timers.length < 100, `${timers.length} timers: those of the queries are cleared`)
})

t.test('a session that waits for a connection which is lost gets the next one', async (t) => {
  const url = DATABASE
  const [sql, killer] = [open(url, 1), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const first = await sql.reserve()
  const waiting = sql.reserve()
  await killer`select pg_terminate_backend(${await pidOf(first)}, 10000)`
  const second = await waiting
  t.same(await second`select 1 as n`, [{ n: 1 }])
  second.release()
  first.release()
  t.same(await sql`select 1 as n`, [{ n: 1 }], 'the lost session gives no connection back')
})

t.test('queries that wait inside a lost session or transaction fail too', async (t) => {
  const url = DATABASE
  const [sql, killer] = [open(url, 2), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const kill = (pid: number) => killer`select pg_terminate_backend(${pid}, 10000)` // waits until it has ended
  // A statement with a new parameter list is described first. Meanwhile others wait in the driver.
  const both = (on: Sql | Pick<Sql, 'unsafe'>) => [
    on.unsafe('select pg_sleep(5), $1::int', [1], { prepare: true }),
    on.unsafe('select 1'),
  ]
  const failed = [
    { status: 'rejected', reason: LOST },
    { status: 'rejected', reason: LOST },
  ]

  const session = await sql.reserve()
  const pid = await pidOf(session)
  const inSession = Promise.allSettled(both(session))
  await kill(pid)
  t.match(await inSession, failed)
  session.release()

  let inTransaction: Promise<unknown> | undefined
  const transaction = sql.begin(async (tx) => {
    const pid = await pidOf(tx)
    inTransaction = Promise.allSettled(both(tx))
    await kill(pid)
    await inTransaction
  })
  await t.rejects(transaction, LOST)
  t.match(await inTransaction, failed)
})

t.test('a cursor whose connection is lost between two pages is an error', async (t) => {
  const url = DATABASE
  const [sql, killer] = [open(url, 1), open(url, 1)]
  t.teardown(() => Promise.all([sql.end({ timeout: 1 }), killer.end({ timeout: 1 })]))
  const pages = () => sql`select pg_backend_pid() as pid from generate_series(1, 10)`.cursor(1)
  const lose = async ([row]: Row[]) => {
    await killer`select pg_terminate_backend(${row?.['pid']}, 10000)`
    await sleep(50)
  }
  const readAll = async () => {
    for await (const page of pages()) await lose(page)
  }
  await t.rejects(readAll(), LOST, 'with the next page')
  for await (const page of pages()) {
    await lose(page)
    break // also ends the cursor
  }
  t.same(await sql`select 1 as n`, [{ n: 1 }])
})
