import type { ISql, PendingQuery, Row, Sql } from 'postgres'
import { readInIndexOrder } from './index-order.ts'

/** A page of a listing ends before the row that would exceed this size. It always contains at least one row. */
const MAX_PAGE_BYTES = 2_097_152

/** A page of a listing. */
export interface Page<Item> {
  rows: Item[]
  hasMore: boolean
}

/**
 * Reads one page of a listing: at most `limit` rows, and at most MAX_PAGE_BYTES as PostgreSQL writes a row. `query`
 * selects the rows from the start of the page in the order of an index. Its parameter is the number of rows to read,
 * which is one more than the page contains.
 */
export async function readPage<Item extends Row>(
  sql: Sql,
  limit: number,
  query: (sql: ISql, rows: number) => PendingQuery<Item[]>,
): Promise<Page<Item>> {
  const read = await readInIndexOrder(
    sql,
    (sql) => sql<(Item & { page_n: number; page_bytes: number })[]>`
      select * from (
        select page.*, (row_number() over so_far)::int as page_n, (sum(octet_length(page::text)) over so_far)::float8 as page_bytes,
          octet_length(page::text) as row_bytes
        from (${query(sql, limit + 1)}) page window so_far as (rows unbounded preceding)
      ) page where page_n <= 2 or page_bytes - row_bytes < ${MAX_PAGE_BYTES}`,
  )
  const fitting = read.filter(({ page_n, page_bytes }) => page_n === 1 || page_bytes <= MAX_PAGE_BYTES)
  const rows = fitting.slice(0, limit).map(({ page_n, page_bytes, row_bytes, ...row }) => row as unknown as Item)
  return { rows, hasMore: read.length > rows.length }
}
