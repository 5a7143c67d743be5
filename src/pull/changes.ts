import type { ExportHead, ExportRow } from '../sync/read-export.ts'

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
