import type { Fragment, ISql } from 'postgres'
import { sqlState } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import type { Mirrors } from '../pools/pools.ts'
import { ExportError, type ExportHead, type ExportRow } from '../protocol/read-export.ts'
import { userLine } from '../states/filter.ts'

/** Maximum characters per statement: about 3,000 users. */
const PAGE_CHARACTERS = 1_048_576

/**
 * Stages an export in the temporary tables `staged_users` and `staged_deletions` of the session. Writes and locks nothing else.
 * Throws what `pages` throws, ExportError if an unchanged export has rows, and `export_invalid` if a line is not a user line.
 * Values that PostgreSQL cannot parse throw its own error.
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

/** Regroups the rows into pages large enough for a statement. */
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

/** Created without a schema name: the service's own schema has no such tables. The primary key rejects duplicate ids. */
async function createTables(session: ISql): Promise<void> {
  await session`
    create temp table staged_users (
      id uuid primary key, username text, email text, role text, is_test_user boolean, batch_id uuid,
      created_by_bulk boolean, custom_attributes jsonb, created_at timestamptz, updated_at timestamptz,
      credential_id bigint
    )`
  await session`create temp table staged_deletions (id uuid not null)`
  await session`create temp table staged_removals (id uuid not null, credential_id bigint)`
}

/**
 * Parses the lines in SQL, which keeps every digit of a number, and stages those that serialize to the same text. A line with extra
 * members, or in another spelling, is not one of the lines that the state sums up.
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

/** The numbers of users that the export really changed. */
export interface Counts {
  added: number
  updated: number
  deleted: number
}

/**
 * Changes the pool's users to match the staged tables. A user that
 * differs is deleted and inserted again, all deletions first: an update would change `updated_at`, and two users that swapped
 * names would conflict. It keeps its login, of which an export and its state say nothing. Users that match are not touched.
 */
export async function applyStaged(tx: ISql, poolId: number, head: ExportHead, mirrors: Mirrors): Promise<Counts> {
  const ids = head.kind === 'full' ? notInExport(tx, poolId) : inDelta(tx, poolId)
  await deleteUsers(tx, poolId, ids, mirrors)
  const removed = await keepLogins(tx)
  const inserted = await insertUsers(tx, poolId)
  return { added: inserted - removed.again, updated: removed.again, deleted: removed.all - removed.again }
}

/** A staged table, in a form in which Citus sends its rows to the worker. It cannot join a local table with a distributed one. */
const staged = (tx: ISql, table: 'staged_users' | 'staged_deletions'): Fragment =>
  tx`(select * from ${tx(table)} offset 0)`

/** A full export: ids of users who are not in it, or not as they are. It reads the pool once. */
const notInExport = (tx: ISql, poolId: number): Fragment => tx`
  select u.id from users u left join ${staged(tx, 'staged_users')} s on s.id = u.id
  where u.pool_id = ${poolId} and (s.id is null or ${userLine(tx, 'u')} <> ${userLine(tx, 's')})`

/**
 * Delta: ids of users that it deletes, or that differ. `lateral … offset 0` forces index look-ups whatever the planner's statistics,
 * so the cost depends on the size of the delta, not of the pool.
 */
const inDelta = (tx: ISql, poolId: number): Fragment => tx`
  select d.id from ${staged(tx, 'staged_deletions')} d
  union
  select s.id from ${staged(tx, 'staged_users')} s
  cross join lateral (
    select ${userLine(tx, 'u')} as line from users u where u.pool_id = ${poolId} and u.id = s.id offset 0
  ) u
  where u.line <> ${userLine(tx, 's')}`

/** Deletes the users with these ids that belong to the replica, and stages which ones, with their logins. */
async function deleteUsers(tx: ISql, poolId: number, ids: Fragment, mirrors: Mirrors): Promise<void> {
  const isMirrored = mirrors === 'everything' ? tx`true` : tx`u.is_test_user`
  await tx`
    with removed as (
      delete from users u where u.pool_id = ${poolId} and u.id = any(array(${ids})) and ${isMirrored}
      returning u.id, u.credential_id
    )
    insert into staged_removals (id, credential_id) select r.id, r.credential_id from removed r`
  await tx`analyze staged_removals`
}

/** Keeps the logins of deleted users that will be inserted again. Returns how many were deleted, and how many of them are. */
async function keepLogins(tx: ISql): Promise<{ all: number; again: number }> {
  await tx`
    update staged_users s set credential_id = r.credential_id
    from staged_removals r where r.id = s.id and r.credential_id is not null`
  const [row] = await tx<{ all: number; again: number }[]>`
    select count(*)::float8 as "all", count(s.id)::float8 as again from staged_removals r left join staged_users s on s.id = r.id`
  return row ?? { all: 0, again: 0 }
}

/** Inserts the staged users that do not exist yet. Looks each up by its key, whatever the planner's statistics. */
async function insertUsers(tx: ISql, poolId: number): Promise<number> {
  const { count } = await tx`
    insert into users (pool_id, id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes,
      created_at, updated_at, credential_id)
    select ${poolId}, s.* from ${staged(tx, 'staged_users')} s
    where (select u.id from users u where u.pool_id = ${poolId} and u.id = s.id) is null
    order by s.id`
  return count
}

/**
 * SQLSTATEs of invalid values (22), of values that the table rejects (23), and of JSON that is nested too deeply (54001). A line that
 * is too long (54000) has its own error.
 */
const OF_A_VALUE = /^(22|23|54001)/

/** For a line that is not exactly the line of the user that it describes. */
const notAUserLine = (cause?: unknown) =>
  new Problem(
    'export_invalid',
    'A line is not a user line, it contains credentials, or two users share an id, username or email. ' +
      'Nothing was changed.',
    { cause },
  )

/** Converts an error during an export into the problem for the client. Returns unrelated errors unchanged. */
export function asProblem(error: unknown): unknown {
  if (error instanceof ExportError) {
    return error.fault === 'cut'
      ? new Problem('export_cut', 'The body ended early. Nothing was changed; send it again.', { cause: error })
      : new Problem('export_malformed', 'Send an unmodified NDJSON export. Nothing was changed.', { cause: error })
  }
  return OF_A_VALUE.test(sqlState(error) ?? '') ? notAUserLine(error) : error
}
