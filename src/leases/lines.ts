import type { Sql } from 'postgres'
import { retryLater } from '../errors.ts'
import { createConcurrencyLimit } from '../http/concurrency-limit.ts'
import { findPoolId } from '../pools/pools.ts'
import { type EndObserver, sweepLeases } from './end-leases.ts'
import { fillStep } from './fill.ts'
import { createLine, type Line, type Ticket } from './line.ts'
import { isSearch, type Selection } from './selection.ts'

/** The lines of this process: one for each selection that is requested. */
export interface Lines {
  /** Puts a request into the line of its selection. Throws `overloaded`. */
  enter(selection: Selection, ticket: Ticket): void
  /** Users of the pool may be free again. */
  wake(pool: string): void
  /** The number of requests of a pool that wait for users; without a pool: of all pools. */
  waiting(pool?: string): number
  /** Fails the requests in the lines. Later ones are served, or fail where they would wait. */
  close(): void
}

/** Requests that wait for users, in all lines together. */
const MAX_WAITING = 1_000

/** Lines that are kept. Each remembers where its order goes on. */
const MAX_LINES = 1_000

/** Searches for roles and attributes at once. The other connections stay free for everything that is quick. */
const SEARCHES = 2

/** How long a line waits for a search. Each takes 10 s at most. */
const SEARCH_WAIT_MS = 30_000

/** How long a line waits for a step of the fill, which can take 20 s for each million users of a commit. Then it walks again. */
const REPLENISH_MS = 1_000

export function createLines(sql: Sql, observer: EndObserver): Lines {
  const lines = new Map<string, { pool: string; line: Line }>()
  const searches = createConcurrencyLimit(SEARCHES, SEARCH_WAIT_MS)
  let isClosing = false
  const replenishing = new Map<string, Promise<boolean>>()
  const waiting = (pool?: string) =>
    [...lines.values()].reduce(
      (sum, each) => sum + (pool === undefined || pool === each.pool ? each.line.waiting() : 0),
      0,
    )

  async function search<Result>(work: () => Promise<Result>): Promise<Result> {
    const release = await searches.acquire()
    try {
      return await work()
    } finally {
      release()
    }
  }

  function replenish(pool: string, isInStep: boolean): Promise<boolean> {
    const key = `${pool} ${isInStep}`
    const underWay = replenishing.get(key)
    if (underWay !== undefined) return orAfterAWhile(underWay)
    const begun = replenishPool(sql, pool, isInStep, observer).finally(() => replenishing.delete(key))
    replenishing.set(key, begun)
    return orAfterAWhile(begun)
  }

  function lineOf(selection: Selection): Line {
    const key = JSON.stringify(selection)
    const known = lines.get(key)
    if (known) return known.line
    if (lines.size >= MAX_LINES) removeIdle()
    const inTurn = isSearch(selection) ? search : <Result>(work: () => Promise<Result>) => work()
    const line = createLine({ sql, selection, inTurn, replenish: (isInStep) => replenish(selection.pool, isInStep) })
    lines.set(key, { pool: selection.pool, line })
    if (isClosing) line.close(shuttingDown())
    return line
  }

  /** Removes half of the lines, those that were made first, if nobody is in them. */
  function removeIdle(): void {
    for (const [key, { line }] of [...lines].slice(0, MAX_LINES / 2)) if (line.isIdle()) lines.delete(key)
  }

  return {
    enter(selection, ticket) {
      if (ticket.deadline > performance.now() && waiting() >= MAX_WAITING)
        throw retryLater('overloaded', 'Too many requests wait for users. Try again.', 1)
      lineOf(selection).enter(ticket)
    },
    wake(pool) {
      for (const each of lines.values()) if (each.pool === pool) each.line.wake()
    },
    waiting,
    close() {
      isClosing = true
      for (const { line } of lines.values()) line.close(shuttingDown())
    },
  }
}

const shuttingDown = () => retryLater('shutting_down', 'Try another replica.', 1)

/** Resolves with the result, or with true after a while. Then users may have come back. */
function orAfterAWhile(result: Promise<boolean>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, REPLENISH_MS, true)
  return Promise.race([result, late]).finally(() => clearTimeout(timer))
}

/**
 * Resolves with whether there may be more free users than before. `isInStep` is what the walk saw: a fill that ended since then may have
 * added users.
 */
async function replenishPool(sql: Sql, pool: string, isInStep: boolean, observer: EndObserver): Promise<boolean> {
  const poolId = await findPoolId(sql, pool)
  const expired = await sweepLeases(sql, poolId)
  observer.leasesEnded('expired', expired)
  if (expired > 0) return true
  if (!isInStep) await fillStep(sql, poolId, observer) // or waits for that of another caller
  return !isInStep
}
