import type { Sql } from 'postgres'
import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import { lookUpScope } from '../states/scope-state.ts'
import type { SystemFormat, SystemUser } from '../systems/system-format.ts'
import { fetchLines } from './fetch-lines.ts'
import { isSelected, jsonLine, type LineRow, type Selection, withCredentials } from './lines.ts'
import { measurePart, notImportable } from './measure-part.ts'
import { type ExportSource, openReading, releasing } from './open-export.ts'
import type { PartRequest } from './part-request.ts'

/** One part of a file. It holds a snapshot and a place until its text is read to the end or `release` is called. */
export interface OpenPart {
  state: State
  text: Text
  /** The id of the last user, if another part follows. */
  next: string | undefined
  release(): Promise<void>
}

/**
 * Opens the part that begins after the user `after`. Reads its users twice from one snapshot: first to find where the part ends and
 * whether the system takes them all, then while they are sent. So memory stays constant, and a user that cannot be written is reported
 * before the first byte. Throws `overloaded`, `pool_not_found`, `users_not_importable`.
 */
export const openPart = (source: ExportSource, request: PartRequest, after: string | undefined): Promise<OpenPart> =>
  openReading(source, request, async (reading) => {
    const { sql, release } = reading
    const { format, shard } = request
    const { poolId, state } = await lookUpScope(sql, request.pool, request.filter)
    const form = format.hasPasswords ? withCredentials(jsonLine, ['password_hash'], source.encryptionKey) : jsonLine
    const selection = { filter: { poolId, ...request.filter }, shard, form }
    const range = { after, last: undefined, limit: format.part.users + 1 }
    const part = await measurePart(format, readUsers(sql, selection, range))
    if (part.refusedCount > 0) throw notImportable(part)
    const { users, first, last, hasMore } = part
    const pages = last === undefined ? [] : readUsers(sql, selection, { after, last, limit: users })
    const text = releasing(write(format, first, pages), reading)
    return { state, text, next: hasMore ? last : undefined, release }
  })

interface Range {
  /** The ids before the first user and of the last one. Undefined: no bound. */
  after: string | undefined
  last: string | undefined
  limit: number
}

/** Reads selected users in the order of ids. */
async function* readUsers(sql: Sql, selection: Selection, { after, last, limit }: Range): AsyncGenerator<SystemUser[]> {
  const { form } = selection
  const query = sql<LineRow[]>`
    select ${form.columns(sql)} from users u ${form.joins(sql)}
    where ${isSelected(sql, selection)} ${after === undefined ? sql`` : sql`and u.id > ${after}`}
      ${last === undefined ? sql`` : sql`and u.id <= ${last}`}
    order by u.id limit ${limit}`
  for await (const rows of fetchLines(query)) yield rows.map(userOf)
}

const userOf = ({ line, password_hash = null }: LineRow): SystemUser => ({ ...parseExactly(line), password_hash })

/** A double would round such a number. */
const LONG_NUMBER = /\d{16}/

/** JSON.parse, but numbers of many digits are written back as they were read. */
const parseExactly = (line: string) => (LONG_NUMBER.test(line) ? JSON.parse(line, keepDigits) : JSON.parse(line))

const keepDigits = (_: string, value: unknown, { source }: { source?: string } = {}) =>
  typeof value === 'number' ? (JSON as unknown as { rawJSON(text?: string): unknown }).rawJSON(source) : value

/** Writes the part. All its users can be rendered. */
async function* write(
  format: SystemFormat,
  first: unknown,
  pages: AsyncIterable<SystemUser[]> | Iterable<SystemUser[]>,
): Text {
  let before = format.head(first)
  for await (const page of pages) {
    const texts = page
      .map(format.render)
      .map((rendering) => ('rendered' in rendering ? format.write(rendering.rendered) : ''))
    yield before + texts.join(format.separator)
    before = format.separator
  }
  yield before === format.separator ? format.tail : before + format.tail
}
