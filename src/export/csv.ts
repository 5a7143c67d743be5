import type { Fragment, Sql } from 'postgres'
import type { Text } from '../protocol/text.ts'
import type { Credential } from '../protocol/user-line.ts'
import type { Answer } from './answer.ts'
import { plainForm } from './lines.ts'

const COLUMNS = [
  'id',
  'username',
  'email',
  'role',
  'is_test_user',
  'batch_id',
  'created_by_bulk',
  'custom_attributes',
  'created_at',
  'updated_at',
]

/**
 * Text that RFC 4180 quotes, and text that looks like a formula. Quoting alone is no protection: spreadsheets also
 * evaluate quoted cells.
 */
const NEEDS_QUOTES = /[",\r\n]|^[=+\-@\t]/

/** Returns a cell. Null becomes an empty cell, which PostgreSQL's COPY reads as null. */
const cell = (text: string | null) =>
  text !== null && NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : (text ?? '')

/** Joins cells to a line of CSV without its line end, as `csvLine` does in SQL. */
export const lineOfCells = (values: (string | null)[]) => values.map(cell).join(',')

/** Writes the row `u` of users as a line of CSV, in SQL. It quotes the same cells as `cell`. */
function cells(sql: Sql): Fragment {
  const textCell = (column: string) => {
    const text = sql`u.${sql(column)}::text`
    return sql`case when ${text} ~ '[",\r\n]|^[-=+@\t]' then '"' || replace(${text}, '"', '""') || '"' else ${text} end`
  }
  return sql`concat_ws(',', u.id, ${textCell('username')}, ${textCell('email')}, ${textCell('role')}, u.is_test_user::text,
    coalesce(u.batch_id::text, ''), u.created_by_bulk::text, ${textCell('custom_attributes')},
    rfc3339(u.created_at), rfc3339(u.updated_at))`
}

/** The user as a line of CSV. */
export const csvLine = plainForm(cells, (line, values) => line + values.map(([, value]) => `,${cell(value)}`).join(''))

/** CSV (RFC 4180 with LF, UTF-8): a header row, then users. In a delta or an unchanged export the first column is `op`. */
export async function* writeCsv(answer: Answer, credentials: Credential[]): Text {
  const { kind, content } = answer
  const columns = [...(kind === 'full' ? [] : ['op']), ...COLUMNS, ...credentials]
  yield `${columns.join(',')}\n`
  if (content.kind === 'full') {
    yield* content.pages('\n')
    if (answer.counts.added > 0) yield '\n'
  }
  if (content.kind === 'delta') {
    const { delta } = content
    const empty = ','.repeat(columns.length - 2)
    for await (const ids of delta.deletedIds()) yield ids.map((id) => `deleted,${id}${empty}\n`).join('')
    for await (const lines of delta.addedLines()) yield lines.map((line) => `added,${line}\n`).join('')
    for await (const lines of delta.updatedLines()) yield lines.map((line) => `updated,${line}\n`).join('')
  }
}
