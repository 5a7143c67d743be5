import type { Fragment, Sql } from 'postgres'
import type { Text } from '../protocol/text.ts'
import { fetchLines } from './fetch-lines.ts'
import { isSelected, type LineRow, type Selection } from './lines.ts'

/** Returns the lines of all users in the selection, in the order of ids, with `separator` between them. */
export function readFull(sql: Sql, selection: Selection, separator: string): Text {
  return selection.form.isPlain ? fullPages(sql, selection, separator) : fullLines(sql, selection, separator)
}

/**
 * Like `fullPages`, for a form of line that PostgreSQL cannot write: row by row through a cursor, at about four times
 * the cost.
 */
async function* fullLines(sql: Sql, selection: Selection, separator: string): Text {
  const { form } = selection
  let before = ''
  const query = sql<LineRow[]>`
    select ${form.columns(sql)} from users u ${form.joins(sql)} where ${isSelected(sql, selection)} order by u.id`
  for await (const rows of fetchLines(query)) {
    yield before + rows.map(form.text).join(separator)
    before = separator
  }
}

/** No part of a page starts after this many bytes of the page. Two pages are in memory at a time. */
const PAGE_BYTES = 1_048_576

/** Lines per part. With longer parts PostgreSQL waits while one is sent; with shorter ones the overhead exceeds the gain. */
const PART_LINES = 250

/** No line starts after this many bytes of a part, because some users are 1 MB each. */
const PART_BYTES = 131_072

/** Raw columns of a part. The text is sent unchanged. */
type Part = [text: Buffer, lastId: Buffer, isLast: Buffer]

/**
 * Returns the lines of all selected users, in the order of ids, with `separator` between them. Finds them by key and
 * joins them in SQL (row by row would cost 9 times as much here). Reads the next page while the current one is sent.
 */
async function* fullPages(sql: Sql, selection: Selection, separator: string): Text {
  let next: Promise<Part[]> | undefined = readPage(sql, selection, separator, null)
  try {
    while (next !== undefined) {
      const parts: Part[] = await next
      const [, lastId, isLast] = parts.at(-1) ?? []
      next = lastId && String(isLast) === 'f' ? readPage(sql, selection, separator, String(lastId)) : undefined
      next?.catch(() => {}) // awaited in the next turn; until then a failure must not be an unhandled rejection
      for (const [text] of parts) yield text
    }
  } finally {
    await next?.catch(() => {}) // a reader that stops early leaves a query on the connection
  }
}

/**
 * Reads the page after the id `after`, in parts. Each part is a row, and PostgreSQL returns the rows of a recursive
 * query as it computes them. So it computes a part while earlier parts are sent. With one row per page it idled until
 * the page had arrived and the next was requested, a quarter of the time of an export.
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
        where ${isSelected(sql, selection)} ${before.condition}
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
