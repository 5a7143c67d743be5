import type { ISql } from 'postgres'
import { ExportError, type ExportHead, type ExportRow } from '../protocol/read-export.ts'
import { userLine } from '../states/filter.ts'
import { notAUserLine } from './problems.ts'

/** Characters that one statement takes: some 3,000 users. */
const PAGE_CHARACTERS = 1_048_576

/**
 * Stages an export in the temporary tables `staged_users` and `staged_deletions` of the session. Nothing else is written or
 * locked. Throws what `pages` throws, ExportError where an unchanged export has rows, and
 * `export_invalid` where a line is not the line of a user. Values that PostgreSQL cannot read throw its own error.
 */
export async function stageExport(session: ISql, head: ExportHead, pages: AsyncIterable<ExportRow[]>): Promise<void> {
  await createTables(session)
  for await (const { lines, deletedIds } of largerPages(pages)) {
    if (head.kind === 'unchanged') throw new ExportError('malformed', 'an unchanged export has rows')
    if (lines.length > 0) await stageUsers(session, lines)
    if (deletedIds.length > 0) await stageDeletions(session, deletedIds)
  }
  await session`analyze staged_users`
}

interface Page {
  lines: string[]
  deletedIds: string[]
}

/** The rows as they are, in pages that are worth a statement. */
async function* largerPages(pages: AsyncIterable<ExportRow[]>): AsyncGenerator<Page, void, void> {
  let page: Page = { lines: [], deletedIds: [] }
  let characters = 0
  for await (const rows of pages) {
    for (const row of rows) {
      if ('id' in row) page.lines.push(row.line)
      else page.deletedIds.push(row.deleted)
      characters += 'id' in row ? row.line.length : row.deleted.length
    }
    if (characters < PAGE_CHARACTERS) continue
    yield page
    page = { lines: [], deletedIds: [] }
    characters = 0
  }
  if (characters > 0) yield page
}

/** Named without a schema: the service's own has no such tables. An id that comes twice is refused by the key. */
async function createTables(session: ISql): Promise<void> {
  await session`
    create temp table staged_users (
      id uuid primary key, username text, email text, role text, is_test_user boolean, batch_id uuid,
      created_by_bulk boolean, custom_attributes jsonb, created_at timestamptz, updated_at timestamptz
    )`
  await session`create temp table staged_deletions (id uuid not null)`
}

/**
 * Reads the lines in SQL, where every digit of a number is kept, and keeps those that would be written the same again: a
 * line with further members, or spelt otherwise, is not one of those that the state is the sum of.
 */
async function stageUsers(session: ISql, lines: string[]): Promise<void> {
  const { count } = await session`
    insert into staged_users
    select u.*
    from string_to_table(${lines.join('\n')}, ${'\n'}) line
    cross join lateral jsonb_to_record(line::jsonb) u (id uuid, username text, email text, role text, is_test_user boolean,
      batch_id uuid, created_by_bulk boolean, custom_attributes jsonb, created_at timestamptz, updated_at timestamptz)
    where ${userLine(session, 'u')} = line`
  if (count < lines.length) throw notAUserLine()
}

async function stageDeletions(session: ISql, ids: string[]): Promise<void> {
  await session`insert into staged_deletions select unnest(${ids}::uuid[])`
}
