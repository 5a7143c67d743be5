import type { TransactionSql } from 'postgres'
import { ExportError, type ExportHead, type ExportRow } from '../sync/read-export.ts'
import { notAUserLine } from './faults.ts'

/** Characters that one statement takes: some 3,000 users. */
const PAGE_CHARACTERS = 1_048_576

/**
 * Lays an export aside in the temporary tables `staged_users` and `staged_deletions`, which are gone with the transaction:
 * nothing else is written or locked. Throws what `pages` throws, ExportError where an unchanged export has rows, and
 * `export_invalid` where a line is not the line of a user. Values that PostgreSQL cannot read throw its own error.
 */
export async function stageExport(
  tx: TransactionSql,
  head: ExportHead,
  pages: AsyncIterable<ExportRow[]>,
): Promise<void> {
  await createTables(tx)
  for await (const { lines, deletedIds } of largerPages(pages)) {
    if (head.kind === 'unchanged') throw new ExportError('malformed', 'an unchanged export has rows')
    if (lines.length > 0) await stageUsers(tx, lines)
    if (deletedIds.length > 0) await stageDeletions(tx, deletedIds)
  }
  await tx`analyze staged_users`
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
async function createTables(tx: TransactionSql): Promise<void> {
  await tx`
    create temp table staged_users on commit drop as
    select id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, created_at, updated_at
    from users with no data`
  await tx`alter table staged_users add primary key (id)`
  await tx`create temp table staged_deletions (id uuid not null) on commit drop`
}

/**
 * Reads the lines in SQL, where every digit of a number is kept, and keeps those that would be written the same again: a
 * line with further members, or spelt otherwise, is not one of those that the state is the sum of.
 */
async function stageUsers(tx: TransactionSql, lines: string[]): Promise<void> {
  const { count } = await tx`
    insert into staged_users
    select u.*
    from string_to_table(${lines.join('\n')}, ${'\n'}) line
    cross join lateral jsonb_to_record(line::jsonb) u (id uuid, username text, email text, role text, is_test_user boolean,
      batch_id uuid, created_by_bulk boolean, custom_attributes jsonb, created_at timestamptz, updated_at timestamptz)
    where user_line(u.id, u.username, u.email, u.role, u.is_test_user, u.batch_id, u.created_by_bulk, u.custom_attributes,
      u.created_at, u.updated_at) = line`
  if (count < lines.length) throw notAUserLine()
}

async function stageDeletions(tx: TransactionSql, ids: string[]): Promise<void> {
  await tx`insert into staged_deletions select unnest(${ids}::uuid[])`
}
