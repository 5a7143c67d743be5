import { ExportError, type ExportHead, type ExportRow } from '../protocol/read-export.ts'

/** What of a delta is held in memory at the most; a larger one costs more than everything anew. */
const MOST_CHANGES = 200_000
const MOST_CHARACTERS = 134_217_728

/** Thrown where a delta is too large to be held in memory. */
export class DeltaTooLarge extends Error {
  override name = 'DeltaTooLarge'
}

/** The rows of a delta in id order. Throws DeltaTooLarge. */
export async function readChanges(head: ExportHead, pages: AsyncIterable<ExportRow[]>): Promise<ExportRow[]> {
  const { added, updated, deleted } = head.counts
  let characters = 0
  const rows: ExportRow[] = []
  const requireRoom = (count: number) => {
    if (count > MOST_CHANGES || characters > MOST_CHARACTERS)
      throw new DeltaTooLarge('the delta is too large to be held in memory')
  }
  requireRoom(added + updated + deleted)
  for await (const page of pages) {
    for (const row of page) characters += 'id' in row ? row.line.length : 0
    rows.push(...page)
    requireRoom(rows.length)
  }
  return rows.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
}

/** The id of the user whom a row is about. */
export const idOf = (row: ExportRow) => ('id' in row ? row.id : row.deleted)

/** A user by its line. */
export type UserRow = Extract<ExportRow, { id: string }>

/** Users of a page: many may be added between two users of the base. */
const PAGE = 1_000

/**
 * Applies a delta to its base. Both are in id order, and so is the result; memory is that of the delta and of a page. Throws
 * ExportError where the delta is none of this base: it deletes a user who is not there, or its counts are wrong.
 */
export async function* merge(
  base: AsyncIterable<ExportRow[]>,
  changes: ExportRow[],
  counts: ExportHead['counts'],
): AsyncGenerator<UserRow[], void, void> {
  const left = { ...counts }
  let next = 0
  /** Takes the changes of users up to this id, and tells whether the last one is of this very user. */
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

/** The rows of a full export. Throws ExportError where one deletes. */
export function usersOf(page: ExportRow[]): UserRow[] {
  for (const row of page) if ('deleted' in row) throw new ExportError('malformed', 'a full export deletes no users')
  return page as UserRow[]
}

function* inPages(rows: UserRow[]) {
  for (let i = 0; i < rows.length; i += PAGE) yield rows.slice(i, i + PAGE)
}

const wrongBase = () => new ExportError('other_base', 'the delta does not go with the users that are held')
