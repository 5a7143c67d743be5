import { inTurns, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { plainLastPages } from './list-plain-sql.ts'
import type { Section } from './report-section.ts'
import { count, milliseconds, type Row } from './report-table.ts'

export const PAGE_USERS = 100
/** A page takes a few milliseconds: with many turns, a delayed one does not matter. */
const TURNS = 50
const TARGET = 1.5

/**
 * Whether the last page of a listing by two keys takes longer than the first, and how long the common alternatives
 * take.
 */
export const userListing: Section = {
  name: 'listing',
  async measure(surroundings) {
    const { listed, rounds } = surroundings.options
    surroundings.progress(`${count(listed)} users: creating them`)
    await emptyTables(surroundings)
    await makeBatch(surroundings, listed)
    await surroundings.within(300, 'vacuum', () => surroundings.sql`vacuum (analyze) users`)
    const cursor = await findLastPage(surroundings)
    const http = await inTurns(
      surroundings,
      { title: 'pages', rounds: TURNS },
      {
        first: async () => (await readPage(surroundings, PAGE_USERS)).milliseconds,
        last: async () => (await readPage(surroundings, PAGE_USERS, cursor)).milliseconds,
      },
    )
    const sql = await plainLastPages(surroundings, PAGE_USERS, rounds)

    const what = `page of ${PAGE_USERS} of ${count(listed)} users by created_at,-username`
    const pages = pageRow(`last ${what}`, http.last, 'the first', http.first)
    return {
      rows: [
        { ...pages, target: `≤ ${TARGET}`, met: (pages.ratio ?? Infinity) <= TARGET },
        pageRow(`last ${what}, plain SQL, OR`, sql.or, 'the service’s statement', sql.ours),
        pageRow(`last ${what}, plain SQL, OFFSET`, sql.offset, 'the service’s statement', sql.ours),
      ],
      raw: { unit: 'ms', users: listed, http, sql },
    }
  },
}

/** The cursor of the last page. Most of the way is covered in pages of the maximum size. */
async function findLastPage(surroundings: Surroundings): Promise<string | undefined> {
  let cursor: string | undefined
  for (const limit of [1000, PAGE_USERS]) {
    for (let read = limit; ; read += limit) {
      surroundings.progress(`walking to the last page: ${count(read)} users in pages of ${limit}`)
      const { next } = await readPage(surroundings, limit, cursor)
      if (next === null) break
      cursor = next
    }
  }
  return cursor
}

/** Reads a page. Returns the milliseconds from the request to the complete response. */
async function readPage({ client, within }: Surroundings, limit: number, cursor?: string) {
  const path = `/v1/users?sort=created_at,-username&limit=${limit}${cursor === undefined ? '' : `&cursor=${cursor}`}`
  const start = performance.now()
  const page = await within(30, 'page', (signal) => client.send(path, { signal }))
  return { milliseconds: performance.now() - start, next: (page as { next_cursor: string | null }).next_cursor }
}

function pageRow(what: string, measured: number[], name: string, yardstick: number[]): Row {
  return {
    what,
    ratio: ratioOf(measured, yardstick),
    measured: milliseconds(median(measured)),
    yardstick: `${name}: ${milliseconds(median(yardstick))}`,
  }
}
