import type { Sql } from 'postgres'
import { BEGINNING, type Hand, isSearch, randomHand, type Selection } from './selection.ts'

/** Where the walks of a line begin. Each statement in progress has a place of its own, and walks on from there. */
export interface Hands {
  /** How many statements may be in progress at once. */
  places(): number
  begin(place: number): Hand
  /** A walk from `begun` has ended at `last`, after `milliseconds`. */
  ended(place: number, begun: Hand, last: Hand | undefined, milliseconds: number): void
  /** A walk found too few users. */
  cameShort(): void
}

/** Statements of one line at once. The service and PostgreSQL then have 2 to 4 cores to do; with one, a core idles. */
const MAX_PLACES = 3

/**
 * With fewer free users, one statement at a time serves the requests strictly in their order. With more, statements in progress at the
 * same time cannot take the last users from one another.
 */
const PLENTY = 20_000

/** How often the free users are counted, up to PLENTY: 3 ms. */
const LOOK_MS = 1_000

/** A walk begins at the start of the order again after this many times as long as it took. */
const REST = 20

export function createHands(sql: Sql, selection: Selection): Hands {
  const { order } = selection
  const hands: Hand[] = [BEGINNING]
  let lookedAt = Number.NEGATIVE_INFINITY
  let beginsAgainAt = 0

  async function look(): Promise<void> {
    const starts = await findStarts(sql, selection)
    hands.splice(1)
    if (starts) hands.push(...starts.map((userId) => ({ ...BEGINNING, uses: hands[0]?.uses ?? 0, userId })))
  }

  return {
    places() {
      if (order === 'sequence' || isSearch(selection)) return 1
      const now = performance.now()
      if (hands.length === 1 && now > lookedAt + LOOK_MS) {
        lookedAt = now
        look().catch(() => {}) // one statement at a time is enough
      }
      return hands.length
    },
    begin(place) {
      if (order === 'random') return randomHand()
      // Index entries before the hand are dead: a walk from the beginning would read them each time.
      const isLookBack = order === 'least_used' && place === 0 && performance.now() >= beginsAgainAt
      return isLookBack ? BEGINNING : (hands[place] ?? BEGINNING)
    },
    ended(place, begun, last, milliseconds) {
      if (begun === BEGINNING) beginsAgainAt = performance.now() + REST * milliseconds
      if (last && place < hands.length) hands[place] = last
    },
    cameShort() {
      hands.splice(1)
      lookedAt = performance.now()
    },
  }
}

/** Returns random users to begin at, one for each further place. Undefined if there are not plenty. */
async function findStarts(sql: Sql, { pool, batchId }: Selection): Promise<string[] | undefined> {
  const isFree = sql`
    l.pool_id = (select id from pools where name = ${pool}) and l.status = 'free'
    ${batchId === undefined ? sql`` : sql`and l.batch_id = ${batchId}`}`
  const [row] = await sql<{ is_plenty: boolean; starts: string[] | null }[]>`
    select (
        select count(*) from (
          select from lease_users l where ${isFree} order by l.uses, l.user_id limit ${PLENTY + 1}
        ) first
      ) > ${PLENTY} as is_plenty,
      array(select l.user_id::text from lease_users l where ${isFree} and l.draw > ${randomHand().draw}
        order by l.draw limit ${MAX_PLACES - 1}) as starts`
  return row?.is_plenty ? (row.starts ?? undefined) : undefined
}
