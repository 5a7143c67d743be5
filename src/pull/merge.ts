import { ExportError, type ExportHead, type ExportRow } from '../protocol/read-export.ts'

/** Limits of the part of a delta that is kept in memory. A larger delta costs more than a full export. */
const MAX_CHANGES = 200_000
const MAX_CHARACTERS = 134_217_728

/** Thrown if a delta is too large for memory. */
export class DeltaTooLarge extends Error {
  override name = 'DeltaTooLarge'
}

/** Returns the rows of a delta in id order. Throws DeltaTooLarge. */
export async function readChanges(head: ExportHead, pages: AsyncIterable<ExportRow[]>): Promise<ExportRow[]> {
  const { added, updated, deleted } = head.counts
  let characters = 0
  const rows: ExportRow[] = []
  const requireRoom = (count: number) => {
    if (count > MAX_CHANGES || characters > MAX_CHARACTERS) throw new DeltaTooLarge('the delta is too large for memory')
  }
  requireRoom(added + updated + deleted)
  for await (const page of pages) {
    for (const row of page) characters += 'id' in row ? row.line.length : 0
    rows.push(...page)
    requireRoom(rows.length)
  }
  return rows.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}

/** Returns the id of the user of a row. */
const idOf = (row: ExportRow) => ('id' in row ? row.id : row.deleted)

/** A user with its line. */
export type UserRow = Extract<ExportRow, { id: string }>

/** Users per page: a delta may add many users between two users of the base. */
const PAGE = 1_000

/**
 * Applies a delta to its base. Both are in id order, and so is the result. Memory holds the delta and one page. Throws ExportError
 * if the delta does not belong to this base: it deletes a user that does not exist, or its counts are wrong.
 */
export async function* merge(
  base: AsyncIterable<ExportRow[]>,
  changes: ExportRow[],
  counts: ExportHead['counts'],
): AsyncGenerator<UserRow[], void, void> {
  const left = { ...counts }
  let next = 0
  /** Applies the changes of users up to this id. Returns whether the last one is for this id. */
  function takeUntil(id: string | undefined, taken: UserRow[]): boolean {
    for (let change = changes[next]; change !== undefined; change = changes[next]) {
      const changedId = idOf(change)
      if (id !== undefined && changedId > id) return false
      next++
      const isHeld = changedId === id
      if ('id' in change) taken.push(change)
      else if (!isHeld) throw wrongBase()
      left['deleted' in change ? 'deleted' : isHeld ? 'updated' : 'added']--
      if (isHeld) return true
    }
    return false
  }
  for await (const page of base) {
    const merged: UserRow[] = []
    for (const row of usersOf(page)) if (!takeUntil(row.id, merged)) merged.push(row)
    yield* inPages(merged)
  }
  const last: UserRow[] = []
  takeUntil(undefined, last)
  yield* inPages(last)
  if (left.added !== 0 || left.updated !== 0 || left.deleted !== 0) throw wrongBase()
}

/** Returns the rows of a full export. Throws ExportError if one is a deletion. */
export function usersOf(page: ExportRow[]): UserRow[] {
  for (const row of page) if ('deleted' in row) throw new ExportError('malformed', 'a full export deletes no users')
  return page as UserRow[]
}

function* inPages(rows: UserRow[]) {
  for (let i = 0; i < rows.length; i += PAGE) yield rows.slice(i, i + PAGE)
}

const wrongBase = () => new ExportError('other_base', 'the delta does not match the users in the base')
