import type { ISql, PendingQuery, Sql } from 'postgres'
import { type Page, readPage } from '../database/page.ts'
import { type Filter, isScope } from '../states/filter.ts'
import { sortBatch, type UserPage, walkBatch, walkPool } from './page-queries.ts'

/**
 * A batch of up to so many users is read as a whole, and sorted, for each page that is not in the order of ids. Of a larger
 * one the sort's index is walked, past the users of other batches. In a pool of 1,000,000 a batch of 10,000 costs 8 to 22 ms a
 * page, where the walk costs up to 1 s for the first page, and one of 40,000 costs 52 to 84 ms. But a walk reads each user of
 * the pool once for all pages together, and the other the whole batch for each: at 10,000 all pages cost as much both ways.
 */
export const MOST_SORTED_USERS = 10_000

/** The lines of one page of users. */
export async function listUserLines(sql: Sql, page: UserPage): Promise<Page<string>> {
  const query = await choosePageQuery(sql, page)
  const { rows, hasMore } = await readPage(sql, page.limit, (sql, limit) => query(sql, limit))
  return { rows: rows.map(({ line }) => line), hasMore }
}

/** The way to read a page that costs the least at worst, chosen by what is known for certain, not by statistics. */
export async function choosePageQuery(
  sql: Sql,
  page: UserPage,
): Promise<(sql: ISql, limit: number) => PendingQuery<{ line: string }[]>> {
  const { filter, sort } = page
  const { batchId } = filter
  if (batchId === undefined) return (sql, limit) => walkPool(sql, { ...page, limit })
  if (sort.keys[0].column === 'id') return (sql, limit) => walkBatch(sql, { ...page, limit }, batchId)
  const isSmall = (await countUsers(sql, filter)) <= MOST_SORTED_USERS
  return (sql, limit) => (isSmall ? sortBatch(sql, { ...page, limit }, batchId) : walkPool(sql, { ...page, limit }))
}

/** How many users the batch has, whatever else the filter asks for; reads none of them. */
async function countUsers(sql: Sql, filter: Filter): Promise<number> {
  const all = { ...filter, testUsersOnly: false, bulkUsersOnly: false }
  const [row] = await sql<{ count: number }[]>`
    select s.user_count::float8 as count from scopes s where ${isScope(sql, all, 's')}`
  return row?.count ?? 0
}
