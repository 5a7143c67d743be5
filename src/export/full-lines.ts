import type { Sql } from 'postgres'
import type { LineRow } from './line-form.ts'
import { isTold, type Selection } from './selection.ts'
import type { Text } from './text.ts'

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
