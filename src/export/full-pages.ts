import type { Sql } from 'postgres'
import { isTold, type Selection } from './selection.ts'

/** Lines to a page: large enough that PostgreSQL sets the pace, small enough that two pages are little memory (1.3 MB). */
const PAGE_LINES = 2_000

/** No line is begun after so many bytes of a page: PostgreSQL makes no text above 1 GB, and some users are 1 MB each. */
const PAGE_BYTES = 4_194_304

interface Page {
  text: string
  lastId: string | null
  /** Lines that were read, and those of them that the page holds. */
  read: number
  held: number
}

/**
 * The lines of all users that are told, in id order, as texts of up to 2,000 lines joined by `separator`.
 * Each page is found by key and joined in SQL, one row to a page (row by row would cost 9 times as much here); the next
 * one is read while the present one is sent.
 */
export async function* fullPages(
  sql: Sql,
  selection: Selection,
  separator: string,
): AsyncGenerator<string, void, void> {
  let limit = PAGE_LINES
  let next: Promise<Page> | undefined = readPage(sql, selection, separator, null, limit)
  try {
    while (next !== undefined) {
      const page: Page = await next
      const { text, lastId, held } = page
      const isLast = page.read < limit && held === page.read
      limit = Math.min(PAGE_LINES, 2 * held) // large lines are not read to be left out
      next = isLast ? undefined : readPage(sql, selection, separator, lastId, limit)
      next?.catch(() => {}) // it is awaited in the next turn; until then a failure must not count as unhandled
      if (text !== '') yield text
    }
  } finally {
    await next?.catch(() => {}) // a reader that stops half-way leaves a query on the connection
  }
}

/** The page after the id `after`: of `limit` lines at the most, and of PAGE_BYTES or one line more. */
async function readPage(
  sql: Sql,
  selection: Selection,
  separator: string,
  after: string | null,
  limit: number,
): Promise<Page> {
  const [page] = await sql<Page[]>`
    select coalesce(string_agg(line, ${separator}) filter (where is_held), '') as text,
      (array_agg(id) filter (where is_held))[count(*) filter (where is_held)] as "lastId",
      count(*)::int as read, (count(*) filter (where is_held))::int as held
    from (
      select id, line, coalesce(sum(octet_length(line)) over (
          order by id rows between unbounded preceding and 1 preceding), 0) < ${PAGE_BYTES} as is_held
      from (
        select u.id, ${selection.form.columns(sql)} from users u
        where ${isTold(sql, selection, 'u')} ${after === null ? sql`` : sql`and u.id > ${after}`}
        order by u.id limit ${limit}
      ) lines
    ) page`
  return page ?? { text: '', lastId: null, read: 0, held: 0 }
}
