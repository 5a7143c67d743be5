import type { ISql, PendingQuery, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import { type Filter, isScope } from '../states/filter.ts'
import { sortBatch, type UserPage, walkBatch, walkPool } from './page-queries.ts'

/**
 * Maximum size of a batch that is read as a whole and sorted for each page, unless the order is by id. For a larger
 * batch the query walks the index of the sort and skips users of other batches.
 *
 * In a pool of 1,000,000 users, sorting costs 8 to 22 ms a page for a batch of 10,000 and 52 to 84 ms for 40,000. A
 * walk costs up to 1 s for the first page, but reads each user of the pool once for all pages together, while sorting
 * reads the whole batch for each page. At 10,000 both cost the same over all pages.
 */
export const MAX_SORTED_USERS = 10_000

/** Returns the lines of one page of users. */
export async function listUserLines(sql: Sql, page: UserPage): Promise<Page<string>> {
  const query = await choosePageQuery(sql, page)
  const { rows, hasMore } = await readPage(sql, page.limit, (sql, limit) => query(sql, limit))
  return { rows: rows.map(({ line }) => line), hasMore }
}

/**
 * Chooses the query with the lowest worst-case cost. The choice rests on the recorded size of the batch, not on
 * statistics.
 */
export async function choosePageQuery(
  sql: Sql,
  page: UserPage,
): Promise<(sql: ISql, limit: number) => PendingQuery<{ line: string }[]>> {
  const { filter, sort } = page
  const { batchId } = filter
  if (batchId === undefined) return (sql, limit) => walkPool(sql, { ...page, limit })
  if (sort.keys[0].column === 'id') return (sql, limit) => walkBatch(sql, { ...page, limit }, batchId)
  const isSmall = (await countUsers(sql, filter)) <= MAX_SORTED_USERS
  return (sql, limit) => (isSmall ? sortBatch(sql, { ...page, limit }, batchId) : walkPool(sql, { ...page, limit }))
}

/** Returns the number of users in the batch, without the other parts of the filter. Reads no user. */
async function countUsers(sql: Sql, filter: Filter): Promise<number> {
  const all = { ...filter, testUsersOnly: false, bulkUsersOnly: false }
  const [row] = await sql<{ count: number }[]>`
    select s.user_count::float8 as count from scopes s where ${isScope(sql, all, 's')}`
  return row?.count ?? 0
}
