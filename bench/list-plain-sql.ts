import type { Sql } from 'postgres'
import { readInIndexOrder } from '../src/database/index-order.ts'
import { type Filter, selects, userLine } from '../src/states/filter.ts'
import { walkPool } from '../src/users/list-users.ts'
import { markOf, readMark, readSort } from '../src/users/sort.ts'
import { inTurns, type Rounds } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'

const FILTER: Filter = { poolId: 1, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
const SORT = readSort('created_at,-username')
const ORDER = 'u.created_at, u.username desc'

/**
 * Reads the last page of all users by `created_at,-username` with the service's statement and with the common
 * alternatives: a condition for its start with OR, and OFFSET. Uses one separate connection. Returns milliseconds.
 */
export async function plainLastPages(
  surroundings: Surroundings,
  limit: number,
  rounds: number,
): Promise<Rounds<'ours' | 'or' | 'offset'>> {
  const sql = surroundings.openConnection()
  try {
    const skipped = surroundings.options.listed - limit
    const after = await markAt(sql, skipped)
    const lines = sql`select ${userLine(sql, 'u')} as line from users u where ${selects(sql, FILTER, 'u')}`
    const order = sql`order by ${sql.unsafe(ORDER)}`
    const condition = sql`(u.created_at > ${after.created_at}
      or (u.created_at = ${after.created_at} and u.username < ${after.username}))`
    const timed = (read: () => Promise<{ length: number }>) => async () => {
      const start = performance.now()
      const { length } = await surroundings.within(120, 'last page', read)
      if (length !== limit) throw new Error(`the last page has ${length} users`)
      return performance.now() - start
    }
    return await inTurns(
      surroundings,
      { title: 'last page in plain SQL', rounds },
      {
        ours: timed(() => readInIndexOrder(sql, (sql) => walkPool(sql, { filter: FILTER, sort: SORT, after, limit }))),
        or: timed(() => sql<object[]>`${lines} and ${condition} ${order} limit ${limit}`),
        offset: timed(() => sql<object[]>`${lines} ${order} offset ${skipped} limit ${limit}`),
      },
    )
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The mark of the last user before the last page. */
async function markAt(sql: Sql, skipped: number) {
  const [row] = await sql<{ line: string }[]>`
    select ${userLine(sql, 'u')} as line from users u where u.pool_id = ${FILTER.poolId} and u.id = (
      select u.id from users u where ${selects(sql, FILTER, 'u')}
      order by ${sql.unsafe(ORDER)} offset ${skipped - 1} limit 1
    )`
  const mark = readMark(row && markOf(SORT, row.line))
  if (!mark) throw new Error(`there are no ${skipped} users`)
  return mark
}
