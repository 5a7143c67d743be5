import type { ISql, PendingQuery, Sql } from 'postgres'
import { readInIndexOrder } from '../database/index-order.ts'
import { type Filter, isScope } from './filter.ts'
import { sortBatch, type UserPage, walkBatch, walkPool } from './page-queries.ts'

/**
 * A batch of up to so many users is read as a whole, and sorted, for each page that is not in the order of ids. Of a larger
 * one the sort's index is walked, past the users of other batches. In a pool of 1,000,000 a batch of 10,000 costs 8 to 22 ms a
 * page, where the walk costs up to 1 s for the first page, and one of 40,000 costs 52 to 84 ms. But a walk reads each user of
 * the pool once for all pages together, and the other the whole batch for each: at 10,000 all pages cost as much both ways.
 */
export const MOST_SORTED_USERS = 10_000

/** Of lines with attributes of 1 MB a page of 1,000 would be more than V8 can hold as one text. */
const MOST_BYTES = 16_777_216

/**
 * The lines of one page of users, and whether it ends early, after 16 MiB: then there may be more, though `limit` is not
 * reached. At least two lines are read where there are two, so that one can be the last of its page.
 */
export async function listUserLines(sql: Sql, page: UserPage): Promise<{ lines: string[]; endsEarly: boolean }> {
  const query = await choosePageQuery(sql, page)
  const rows = await readInIndexOrder(
    sql,
    (sql) => sql<{ line: string; bytes: number }[]>`
      select line, bytes::float8 from (
        select line, row_number() over so_far as n, sum(octet_length(line)) over so_far as bytes
        from (${query(sql)}) page window so_far as (rows unbounded preceding)
      ) page where n <= 2 or bytes - octet_length(line) < ${MOST_BYTES}`,
  )
  return { lines: rows.map(({ line }) => line), endsEarly: (rows.at(-1)?.bytes ?? 0) >= MOST_BYTES }
}

/** The way to read a page that costs the least at worst, chosen by what is known for certain, not by statistics. */
export async function choosePageQuery(
  sql: Sql,
  page: UserPage,
): Promise<(sql: ISql) => PendingQuery<{ line: string }[]>> {
  const { filter, sort } = page
  const { batchId } = filter
  if (batchId === undefined) return (sql) => walkPool(sql, page)
  if (sort.keys[0].column === 'id') return (sql) => walkBatch(sql, page, batchId)
  const isSmall = (await countUsers(sql, filter)) <= MOST_SORTED_USERS
  return (sql) => (isSmall ? sortBatch(sql, page, batchId) : walkPool(sql, page))
}

/** How many users the batch has, whatever else the filter asks for; reads none of them. */
async function countUsers(sql: Sql, filter: Filter): Promise<number> {
  const all = { ...filter, testUsersOnly: false, bulkUsersOnly: false }
  const [row] = await sql<{ count: number }[]>`
    select s.user_count::float8 as count from scopes s where ${isScope(sql, all, 's')}`
  return row?.count ?? 0
}
