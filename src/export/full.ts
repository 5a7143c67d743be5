import type { Fragment, Sql } from 'postgres'
import type { Text } from '../protocol/text.ts'
import { isTold, type LineRow, type Selection } from './lines.ts'

/** Rows that the cursor fetches at once: of attributes of 1 MB each they are one text still, which V8 bounds at 512 MB. */
const ROWS_A_FETCH = 100

/**
 * The same as `fullPages`, for a form of line that PostgreSQL cannot write by itself: row by row through a cursor, at some
 * four times the cost.
 */
export async function* fullLines(sql: Sql, selection: Selection, separator: string): Text {
  const { form } = selection
  let before = ''
  const query = sql<LineRow[]>`
    select ${form.columns(sql)} from users u ${form.joins(sql)} where ${isTold(sql, selection)} order by u.id`
  for await (const rows of query.cursor(ROWS_A_FETCH)) {
    if (rows.length === 0) continue
    yield before + rows.map(form.text).join(separator)
    before = separator
  }
}

/** No part of a page begins after so many bytes of it; two pages are in memory at a time. */
const PAGE_BYTES = 1_048_576

/** Lines to a part: with longer parts PostgreSQL waits while one is on its way, and shorter ones cost more than they spare. */
const PART_LINES = 250

/** No line begins after so many bytes of a part, since some users are 1 MB each. */
const PART_BYTES = 131_072

/** Columns of a part as they came, which for the text is as they go out. */
type Part = [text: Buffer, lastId: Buffer, isLast: Buffer]

/**
 * The lines of all users that are told, in id order and with `separator` between them. They are found by key and joined in
 * SQL (row by row would cost 9 times as much here); the next page is read while the present one is sent.
 */
export async function* fullPages(sql: Sql, selection: Selection, separator: string): Text {
  let next: Promise<Part[]> | undefined = readPage(sql, selection, separator, null)
  try {
    while (next !== undefined) {
      const parts: Part[] = await next
      const [, lastId, isLast] = parts.at(-1) ?? []
      next = lastId && String(isLast) === 'f' ? readPage(sql, selection, separator, String(lastId)) : undefined
      next?.catch(() => {}) // it is awaited in the next turn; until then a failure must not count as unhandled
      for (const [text] of parts) yield text
    }
  } finally {
    await next?.catch(() => {}) // a reader that stops half-way leaves a query on the connection
  }
}

/**
 * The page after the id `after`, in parts. Each part is a row, and PostgreSQL gives the rows of a recursive query as it makes
 * them: so it makes one while those before it are on their way. It waited for a page of one row to arrive and the next to be
 * asked for, a quarter of the time of an export.
 */
async function readPage(sql: Sql, selection: Selection, separator: string, after: string | null): Promise<Part[]> {
  const part = (before: { condition: Fragment; separator: string; bytes: Fragment; lines: Fragment }) => sql`
    select ${before.separator} || string_agg(line, ${separator}) filter (where is_held) as text,
      (array_agg(id) filter (where is_held))[count(*) filter (where is_held)] as last_id,
      count(*) < ${before.lines} and bool_and(is_held) as is_last,
      ${before.bytes} + sum(octet_length(line)) filter (where is_held) as page_bytes,
      least(${PART_LINES}, 2 * count(*) filter (where is_held)) as next_lines -- long lines are not read to be left out
    from (
      select id, line, coalesce(sum(octet_length(line)) over (
          order by id rows between unbounded preceding and 1 preceding), 0) < ${PART_BYTES} as is_held
      from (
        select u.id, ${selection.form.columns(sql)} from users u
        where ${isTold(sql, selection)} ${before.condition}
        order by u.id limit ${before.lines}
      ) lines
    ) part`
  const first = part({
    condition: after === null ? sql`` : sql`and u.id > ${after}`,
    separator: after === null ? '' : separator,
    bytes: sql`0`,
    lines: sql`${PART_LINES}::bigint`,
  })
  const further = part({
    condition: sql`and u.id > parts.last_id`,
    separator,
    bytes: sql`parts.page_bytes`,
    lines: sql`parts.next_lines`,
  })
  const rows: unknown = await sql`
    with recursive parts as (
      (${first})
      union all
      select further.* from parts cross join lateral (${further}) further
      where not parts.is_last and parts.page_bytes < ${PAGE_BYTES}
    )
    select text, last_id, is_last from parts where text is not null`.raw()
  return rows as Part[]
}
