import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { ARRAY_TYPES, connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

const DATABASE = await testDatabase()

/* Lost connections, and how fast queries are sent (patches/postgres+3.4.9.patch). Its neighbours driver-*.test.ts have the rest. */

const pidOf = async (on: Pick<Sql, 'unsafe'>) =>
  (await on.unsafe('select pg_backend_pid() as pid'))[0]?.['pid'] as number

/** Opens `number` connections and leaves them idle. */
async function openAll(sql: Sql, number: number): Promise<void> {
  const reserved = []
  while (reserved.length < number) reserved.push(await sql.reserve())
  for (const { release } of reserved) release()
}

t.test('a connection lost during use causes an error, and the pool recovers', async (t) => {
  const url = DATABASE
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  const killer = connect({ url, schema: 'usersync', connections: 1, name: 'killer' })
  t.teardown(() => Promise.all([sql.end(), killer.end()]))
  const lost = { code: 'CONNECTION_CLOSED' }
  const kill = async (pid: number) => {
    await killer`select pg_terminate_backend(${pid}, 10000)` // waits until it has ended
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
    await t.rejects(reserved`select 1`, lost, 'in a reserved connection')
    await t.rejects(reserved`rollback`, lost, 'in the same reserved connection again')
    reserved.release()

    const all = Promise.all([1, 2, 3, 4].map((n) => sql`select ${n}::int as n`))
    t.equal((await Promise.race([all, sleep(5_000, [])])).length, 4, 'both connections of the pool work')
  }
  t.same(await sql`select name from pools`, [{ name: 'default' }], 'no statement of a dead transaction ran elsewhere')
})

t.test('a query is sent during the current turn of the event loop', async (t) => {
  const url = DATABASE
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const ask = async () => {
    const [row] = await sql<{ ms: number }[]>`select extract(epoch from clock_timestamp())::float8 * 1000 as ms`
    return row?.ms ?? Number.NaN
  }
  await ask()
  const response = ask()
  for (let step = 0; step < 10; step++) await null // the driver takes a few microtasks to start a query
  const end = Date.now() + 1_000
  while (Date.now() < end) {} // the rest of the turn
  t.ok((await response) < end, 'it ran before the turn ended')
})

t.test('arrays of built-in types have the numbers that the driver knows without a query', async (t) => {
  const sql = connect({ url: DATABASE, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const found = await sql<{ oid: number; typarray: number }[]>`
    select oid, typarray from pg_type where oid = any(${ARRAY_TYPES.map(([oid]) => oid)}::oid[]) order by oid`
  t.same(
    found.map(({ oid, typarray }) => [oid, typarray]),
    ARRAY_TYPES,
  )
  const [row] =
    await sql`select ${['a', null, 'b,"c'].map(String)}::text[] as texts, ${[[1], [2]]}::int[] as nested, ${[]}::uuid[] as none`
  t.same(row, { texts: ['a', 'null', 'b,"c'], nested: [[1], [2]], none: [] })
})

t.test('sequential queries use one connection, and the others become idle', async (t) => {
  const url = DATABASE
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

t.test('neither the thousandth query nor the 30th reconnect searches a longer queue than the first', async (t) => {
  const url = DATABASE
  const sql = connect({ url, schema: 'usersync', connections: 3, name: 'test' })
  t.teardown(() => sql.end())
  await openAll(sql, 3)
  const searchedLengths: number[] = []
  const { indexOf } = Array.prototype
  t.intercept(Array.prototype, 'indexOf', {
    value(this: unknown[], ...args: [unknown]) {
      searchedLengths.push(this.length)
      return indexOf.apply(this, args)
    },
  })
  for (let n = 0; n < 1_000; n++) await sql`select 1`
  const lost = { code: /^(57P01|CONNECTION_CLOSED)$/ }
  for (let n = 0; n < 30; n++) await t.rejects(sql`select pg_terminate_backend(pg_backend_pid())`, lost)
  t.ok(searchedLengths.length >= 1_000, 'the connection queues are searched at all')
  t.ok(Math.max(...searchedLengths) <= 10, `at most ${Math.max(...searchedLengths)} entries`)
})
