import type { Sql } from 'postgres'
import { isTold, type Selection } from './selection.ts'

/** Lines to a page: large enough that PostgreSQL sets the pace, small enough that two pages are little memory (1.3 MB). */
const PAGE_LINES = 2_000

interface Page {
  text: string
  lastId: string | undefined
  isLast: boolean
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
  const read = async (after: string | undefined): Promise<Page> => {
    const [page] = await sql<{ text: string | null; last_id: string | null; lines: number }[]>`
      select string_agg(page.line, ${separator}) as text, (array_agg(page.id))[count(*)] as last_id, count(*)::int as lines
      from (
        select u.id, ${selection.form.columns(sql)} from users u
        where ${isTold(sql, selection, 'u')} ${after === undefined ? sql`` : sql`and u.id > ${after}`}
        order by u.id limit ${PAGE_LINES}
      ) page`
    return { text: page?.text ?? '', lastId: page?.last_id ?? undefined, isLast: (page?.lines ?? 0) < PAGE_LINES }
  }
  let next: Promise<Page> | undefined = read(undefined)
  try {
    while (next !== undefined) {
      const { text, lastId, isLast }: Page = await next
      next = isLast ? undefined : read(lastId)
      next?.catch(() => {}) // it is awaited in the next turn; until then a failure must not count as unhandled
      if (text !== '') yield text
    }
  } finally {
    await next?.catch(() => {}) // a reader that stops half-way leaves a query on the connection
  }
}
