import type { Sort, SortKey } from './sort.ts'

/** Where a page ended: of its last user the keys of the sort, as they stand in the user's line. */
export type Mark = Record<SortKey['column'], string>

/** The mark of a user's line, as the text that a cursor carries. Times keep their microseconds: they stay text. */
export function markOf({ keys }: Sort, line: string): string {
  const columns = keys.map(({ column }) => column)
  return JSON.stringify(JSON.parse(line), columns)
}

/** The mark that a cursor of the same sort carried. */
export function readMark(text: string | undefined): Mark | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Mark)
}
