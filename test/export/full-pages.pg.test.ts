import fc from 'fast-check'
import { connect } from '../../src/database/connection.ts'
import { openSnapshot } from '../../src/database/session.ts'
import { readFull } from '../../src/export/full.ts'
import { jsonLine, type Selection } from '../../src/export/lines.ts'
import { userLine } from '../../src/states/filter.ts'
import { testDatabase } from '../database.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { makePool } from './observe.ts'

const t = suite()

/*
 * Full exports across the boundaries of their parts (250 lines, 128 KiB) and pages (1 MiB). These changes were tried,
 * and fail here: no separator between parts, or between pages; a part cut short by its size taken for the last one; the
 * next part started after the first line of the previous one; only one page read.
 */

const RUNS = sized(6, 40)

const url = await testDatabase()
const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
t.teardown(() => sql.end())

/** A number of users, and how many bytes their lines are longer than the shortest line. */
const run = fc.record({
  users: fc.oneof(fc.constantFrom(1, 249, 250, 251, 500), fc.nat({ max: 700 })),
  bytes: fc.oneof(fc.constant(0), fc.nat({ max: 2_000 }), fc.constantFrom(131_000, 131_072, 1_000_000)),
})
const isModest = ({ users, bytes }: { users: number; bytes: number }) => users * bytes < 6_000_000

let pools = 0

t.test('a full export has each line once, in order and separated, whatever their number and length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(run.filter(isModest), { maxLength: 6 }),
      fc.constantFrom('\n', ','),
      async (runs, separator) => {
        const poolId = await makePool(sql, `pool${++pools}`)
        for (const [i, { users, bytes }] of runs.entries()) {
          await sql`
          insert into users (pool_id, username, email, custom_attributes)
          select ${poolId}::int, ${`u${i}-`} || n, ${`u${i}-`} || n || '@example.com', jsonb_build_object('é', repeat('x', ${bytes}))
          from generate_series(1, ${users}::int) n`
        }
        const filter = { poolId, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
        const selection: Selection = { filter, shard: undefined, form: jsonLine }
        const snapshot = await openSnapshot(sql)
        try {
          const parts: Buffer[] = []
          for await (const part of readFull(snapshot.sql, selection, separator)) parts.push(Buffer.from(part))
          const [row] = await snapshot.sql<{ text: string }[]>`
          select coalesce(string_agg(${userLine(sql, 'u')}, ${separator} order by u.id), '') as text
          from users u where u.pool_id = ${poolId}`
          return Buffer.concat(parts).toString() === row?.text && parts.every(({ length }) => length < 1_200_000)
        } finally {
          await snapshot.close()
        }
      },
    ),
    { numRuns: RUNS },
  )
})

t.test('a reader that stops early releases the connection', async (t) => {
  const poolId = await makePool(sql, 'left')
  await sql`
    insert into users (pool_id, username, email)
    select ${poolId}::int, 'l' || n, 'l' || n || '@example.com' from generate_series(1, 10000) n`
  const filter = { poolId, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  const snapshot = await openSnapshot(sql)
  for await (const part of readFull(snapshot.sql, { filter, shard: undefined, form: jsonLine }, '\n')) {
    t.match(String(part), /^\{"id":"/)
    break
  }
  t.same(await snapshot.sql`select 1 as one`, [{ one: 1 }])
  await snapshot.close()
})
