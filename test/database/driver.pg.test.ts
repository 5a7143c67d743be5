import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Lost connections, and how fast queries are sent (patches/postgres+3.4.9.patch). Its neighbours driver-*.test.ts have the rest. */

const pidOf = async (on: Pick<Sql, 'unsafe'>) =>
  (await on.unsafe('select pg_backend_pid() as pid'))[0]?.['pid'] as number

/** Leaves so many connections open and free. */
async function openAll(sql: Sql, number: number): Promise<void> {
  const reserved = []
  while (reserved.length < number) reserved.push(await sql.reserve())
  for (const { release } of reserved) release()
}

t.test('a connection lost in the middle of its use is an error, and the pool goes on', async (t) => {
  const url = await testDatabase(t)
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  const killer = connect({ url, schema: 'usersync', connections: 1, name: 'killer' })
  t.teardown(() => Promise.all([sql.end(), killer.end()]))
  const lost = { code: 'CONNECTION_CLOSED' }
  const kill = async (pid: number) => {
    await killer`select pg_terminate_backend(${pid})`
    await sleep(30)
  }

  for (let round = 0; round < 3; round++) {
    const inFlight = sql.begin(async (tx) => {
      const [row] = await tx`select pg_backend_pid() as pid`
      setTimeout(() => void kill(row?.['pid']), 20)
      await tx`select pg_sleep(5)`
    })
    await t.rejects(inFlight, lost, 'in a statement of a transaction')
    const idle = sql.begin(async (tx) => {
      await kill(await pidOf(tx))
      await tx`insert into pools (name) values ('of a transaction that is dead')`
    })
    await t.rejects(idle, lost, 'between two statements of a transaction')

    const reserved = await sql.reserve()
    await kill(await pidOf(reserved))
    await t.rejects(reserved`select 1`, lost, 'reserved')
    await t.rejects(reserved`rollback`, lost, 'and asked again')
    reserved.release()

    const all = Promise.all([1, 2, 3, 4].map((n) => sql`select ${n}::int as n`))
    t.equal((await Promise.race([all, sleep(5_000, [])])).length, 4, 'both connections of the pool serve')
  }
  t.same(await sql`select name from pools`, [{ name: 'default' }], 'nothing of a dead transaction ran elsewhere')
})

t.test('the database is at work on a query while the turn that asked it goes on', async (t) => {
  const url = await testDatabase(t)
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const ask = async () => {
    const [row] = await sql<{ ms: number }[]>`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`
    return row?.ms ?? Number.NaN
  }
  await ask()
  const answered = ask()
  for (let step = 0; step < 10; step++) await null // the driver begins a query in a few steps of its own
  const end = Date.now() + 1_000
  while (Date.now() < end) {} // the rest of the turn
  t.ok((await answered) < end, 'it was answered before the turn ended')
})

t.test('queries one after another go over one connection, and leave the others to their idle time', async (t) => {
  const url = await testDatabase(t)
  const sql = connect({ url, schema: 'usersync', connections: 3, name: 'test' })
  t.teardown(() => sql.end())
  await openAll(sql, 3)
  const pids = new Set<number>()
  for (let n = 0; n < 9; n++) {
    pids.add(await pidOf(sql))
    const reserved = await sql.reserve()
    pids.add(await pidOf(reserved))
    reserved.release()
  }
  t.equal(pids.size, 1)
})

t.test('the thousandth query looks through no more than the first, nor does the 30th connection', async (t) => {
  const url = await testDatabase(t)
  const sql = connect({ url, schema: 'usersync', connections: 3, name: 'test' })
  t.teardown(() => sql.end())
  await openAll(sql, 3)
  const lookedThrough: number[] = []
  const { indexOf } = Array.prototype
  t.intercept(Array.prototype, 'indexOf', {
    value(this: unknown[], ...args: [unknown]) {
      lookedThrough.push(this.length)
      return indexOf.apply(this, args)
    },
  })
  for (let n = 0; n < 1_000; n++) await sql`select 1`
  const lost = { code: /^(57P01|CONNECTION_CLOSED)$/ }
  for (let n = 0; n < 30; n++) await t.rejects(sql`select pg_terminate_backend(pg_backend_pid())`, lost)
  t.ok(lookedThrough.length >= 1_000, 'the lines of connections are looked through at all')
  t.ok(Math.max(...lookedThrough) <= 10, `at most ${Math.max(...lookedThrough)} places`)
})
