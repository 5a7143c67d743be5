import type { PendingQuery } from 'postgres'

/** Number of rows of the first fetch. Most deltas need no second one. */
const FIRST_ROWS = 25

/** More rows make no export faster. */
const MAX_ROWS = 100

/** Lines of a fetch. With 100 lines of 1 MB each, four exports at once took 1.6 GB of memory. */
const FETCH_CHARACTERS = 4_194_304

/**
 * Returns the rows of a query through a cursor, one fetch at a time. How many rows a fetch has follows from the longest line of the fetch
 * before, so that memory has a few megabytes of lines, whatever their length.
 */
export async function* fetchLines<Row extends { line: string }>(
  query: PendingQuery<Row[]>,
): AsyncGenerator<Row[], void, void> {
  const next = query as unknown as { cursorRows: number } // postgres.js 3.4.9 reads it before each fetch
  for await (const fetched of query.cursor(FIRST_ROWS)) {
    const rows = fetched as Row[]
    if (rows.length > 0) yield rows
    const longest = rows.reduce((length, { line }) => Math.max(length, line.length), 1)
    next.cursorRows = Math.max(1, Math.min(2 * rows.length, MAX_ROWS, Math.floor(FETCH_CHARACTERS / longest)))
  }
}
