import { connect } from '../../src/database/connection.ts'
import { fetchLines } from '../../src/export/fetch-lines.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'test' })
t.teardown(() => sql.end())

/** Fetches lines of these lengths, and returns how many of them each fetch had. */
async function fetchesOf(lengths: number[]): Promise<number[]> {
  const query = sql<{ n: number; line: string }[]>`
    select n::int, repeat('x', length) as line from unnest(${lengths}::int[]) with ordinality as lines (length, n) order by n`
  const fetches: { n: number; line: string }[][] = []
  for await (const rows of fetchLines(query)) fetches.push(rows)
  const rows = fetches.flat()
  t.strictSame(
    rows.map(({ n, line }) => [n, line.length]),
    lengths.map((length, index) => [index + 1, length]),
    'each line once, in order',
  )
  return fetches.map(({ length }) => length)
}

const times = (count: number, length: number) => Array.from({ length: count }, () => length)

t.test('a fetch has 100 short lines, and fewer long ones', async (t) => {
  t.strictSame(await fetchesOf(times(400, 500)), [25, 50, 100, 100, 100, 25])
  t.strictSame(await fetchesOf(times(31, 1_000_000)), [25, 4, 2])
  t.strictSame(await fetchesOf([...times(24, 1), 5_000_000, 1, 1, 1, 1]), [25, 1, 2, 1], 'at least one')
  t.strictSame(await fetchesOf([]), [])
})
