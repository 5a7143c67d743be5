import type { Sql } from 'postgres'
import { isDatabaseUnavailable } from '../database/sqlstate.ts'
import { retryLater } from '../errors.ts'
import { type Decision, decide } from './decide.ts'
import { type GrantedLease, type GrantRequest, grantLeases } from './grant.ts'
import { createHands } from './hands.ts'
import type { Selection } from './selection.ts'

/** A request in a line. */
export interface Ticket extends GrantRequest {
  /** By `performance.now()`: until then it waits for users that come back. */
  deadline: number
  /** Aborts if the client leaves: the request leaves the line. */
  left: AbortSignal
  /** Called once, with the lease or with why there is none; also with a lease if the client left while it was granted. */
  settle: (decision: GrantedLease | Exclude<Decision, 'retry' | 'wait'>) => void
  fail: (error: unknown) => void
}

/** One line of requests for the same selection, served in the order of asking. */
export interface Line {
  enter(ticket: Ticket): void
  /** Users may be free again. */
  wake(): void
  /** The number of requests that wait for users. */
  waiting(): number
  isIdle(): boolean
  /** Fails every request in the line; those in a statement when it has ended, if they would wait. */
  close(error: unknown): void
}

interface LineOptions {
  sql: Sql
  selection: Selection
  /** Runs a statement when its turn has come; see lines.ts. */
  inTurn: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Ends expired leases and reads new users. Resolves with whether a further walk may find more. */
  replenish: (isInStep: boolean) => Promise<boolean>
}

/** Requests and users of one statement, which takes about 20 µs for each user. */
const MAX_REQUESTS = 256
const MAX_USERS = 2_000

/**
 * A further statement at the same time is worth its start for this many users, or for this many requests if it is the second one: then
 * the service reads and answers some requests while PostgreSQL grants the others. With 16 callers and 100 users a lease, a statement for
 * each lease costs 2.3 ms of PostgreSQL and 0.9 ms of the service. In a statement for ten leases, each costs 2.0 and 0.8 ms.
 */
const USERS_OF_A_FURTHER = 1000
const REQUESTS_OF_A_SECOND = 6

/** How often waiting requests are tried again. A return in this process wakes them at once, one in another replica does not. */
const POLL_MS = 25

/** A walk that found too few is repeated after this many times as long as it took. */
const REST = 4

/** How long a request waits, beyond its deadline, for the first look at the users of a pool. */
const PREPARATION_MS = 10_000

/**
 * Creates a line. A statement serves as many requests as have come, in their order. If there are too few users, the first request that
 * gets none stays at the head until its deadline, and nobody overtakes it: otherwise a request for many users would never get them.
 */
export function createLine({ sql, selection, inTurn, replenish }: LineOptions): Line {
  const hands = createHands(sql, selection)
  /** All requests, those in a statement included. */
  const all = new Set<Ticket>()
  const queue: Ticket[] = []
  const waiting = new Set<Ticket>()
  const busy = new Set<number>()
  /** Whether to try again at once: something came since the last statement began. */
  let isWoken = false
  let poll: NodeJS.Timeout | undefined
  /** Why the line is closed. */
  let closing: { error: unknown } | undefined
  /** How long the last walk that found too few took, and until when there is no other. */
  let fruitlessMs = 0
  let restUntil = 0

  function go(): void {
    isWoken = true
    clearTimeout(poll)
    const isAlone = busy.size === 0
    const isWorthIt = sumOf(queue) >= USERS_OF_A_FURTHER || (busy.size === 1 && queue.length >= REQUESTS_OF_A_SECOND)
    if (queue.length === 0 || !(isAlone || (waiting.size === 0 && isWorthIt))) return
    const place = [...Array(hands.places()).keys()].find((each) => !busy.has(each))
    if (place !== undefined && performance.now() >= restUntil) {
      void serveFrom(place)
    } else if (isAlone) {
      if (waiting.size > 0) refuseLate()
      pollLater()
    }
  }

  async function serveFrom(place: number): Promise<void> {
    busy.add(place)
    isWoken = false
    const goesOn = await inTurn(() => serve(place, takeTickets())).catch((error) => keepOrFail(takeTickets(), error))
    busy.delete(place)
    if (goesOn || isWoken) go()
    else if (queue.length > 0 && busy.size === 0) pollLater()
  }

  function takeTickets(): Ticket[] {
    let users = 0
    const beyond = queue.findIndex(({ count }, n) => {
      users += count
      return n > 0 && (n >= MAX_REQUESTS || users > MAX_USERS)
    })
    return queue.splice(0, beyond < 0 ? queue.length : beyond)
  }

  /** Serves these requests. Returns whether others can be served at once. */
  async function serve(place: number, tickets: Ticket[]): Promise<boolean> {
    let open = tickets
    try {
      const begun = performance.now()
      const from = hands.begin(place)
      const grants = await grantLeases(sql, selection, from, tickets)
      const took = performance.now() - begun
      hands.ended(place, from, grants.hand, took)
      for (const [n, lease] of grants.leases.entries()) if (lease) settle(tickets[n], lease)
      open = tickets.filter((_, n) => !grants.leases[n])
      const isShort = grants.poolExists && !grants.isCut && grants.found < sumOf(tickets)
      if (isShort) {
        hands.cameShort()
        if (await replenish(grants.isInStep)) return stay(open)
        fruitlessMs = took
        restUntil = took > POLL_MS ? performance.now() + took : 0
      }
      return settleOthers(decide(tickets, grants, performance.now()))
    } catch (error) {
      return keepOrFail(open, error)
    }
  }

  function settle(ticket: Ticket | undefined, decision: Parameters<Ticket['settle']>[0]): void {
    if (!ticket) return
    forget(ticket)
    ticket.settle(decision)
  }

  function settleOthers(decisions: Map<Ticket, Decision>): boolean {
    const kept: Ticket[] = []
    let isBlocked = false
    for (const [ticket, decision] of decisions) {
      if (decision === 'wait') stayInLine(ticket)
      isBlocked ||= decision === 'wait'
      if (decision === 'wait' || decision === 'retry') kept.push(ticket)
      else settle(ticket, decision)
    }
    putBack(kept)
    if (isBlocked) refuseLate()
    return !isBlocked
  }

  /** A client that left during the statement has been removed already, and nobody would remove it again. */
  function stayInLine(ticket: Ticket): void {
    if (!ticket.left.aborted) waiting.add(ticket)
  }

  /** Statements in progress at the same time may end in another order. After the line was closed, nobody waits. */
  function putBack(tickets: Ticket[]): void {
    const now = performance.now()
    const present = tickets.filter((ticket) => !ticket.left.aborted)
    const failed = closing ? present.filter(({ deadline }) => deadline > now) : []
    queue.unshift(...present.filter((ticket) => !failed.includes(ticket)))
    for (const ticket of failed) fail(ticket, closing?.error)
  }

  /** Fails requests that cannot be answered in time, because it is not known yet whether there are enough users. */
  function stay(tickets: Ticket[]): boolean {
    const now = performance.now()
    const isLate = ({ deadline }: Ticket) => now >= deadline + PREPARATION_MS
    putBack(tickets.filter((ticket) => !isLate(ticket)))
    const preparing = retryLater('overloaded', 'The users of the pool are being prepared for leases. Try again.', 2)
    for (const ticket of tickets.filter(isLate)) fail(ticket, preparing)
    return true
  }

  /** Settles requests that do not wait, but stand behind one that does. */
  function refuseLate(): void {
    const now = performance.now()
    const late = queue.filter(({ deadline }) => now >= deadline)
    for (const ticket of late) {
      remove(ticket)
      settle(ticket, 'exhausted')
    }
  }

  /** While the database is away, requests wait until their deadline. */
  function keepOrFail(tickets: Ticket[], error: unknown): boolean {
    const now = performance.now()
    const stays = ({ deadline }: Ticket) => isDatabaseUnavailable(error) && now < deadline
    for (const ticket of tickets) {
      if (stays(ticket)) stayInLine(ticket)
      else fail(ticket, error)
    }
    putBack(tickets.filter(stays))
    return false
  }

  function fail(ticket: Ticket, error: unknown): void {
    forget(ticket)
    ticket.fail(error)
  }

  function forget(ticket: Ticket): void {
    all.delete(ticket)
    waiting.delete(ticket)
  }

  function remove(ticket: Ticket): void {
    forget(ticket)
    const place = queue.indexOf(ticket)
    if (place >= 0) queue.splice(place, 1)
  }

  /** Requests that nothing blocks come with the next walk, even if they do not wait: the last one looked for more users than they need. */
  function pollLater(): void {
    clearTimeout(poll)
    const now = performance.now()
    const rest = restUntil - now
    const untilDeadline = Math.min(...queue.map(({ deadline }) => deadline)) - now
    const pause = waiting.size > 0 ? Math.min(Math.max(POLL_MS, REST * fruitlessMs, rest), untilDeadline) : rest
    poll = setTimeout(go, Math.max(1, pause))
  }

  return {
    enter(ticket) {
      all.add(ticket)
      queue.push(ticket)
      ticket.left.addEventListener('abort', () => remove(ticket), { once: true })
      go()
    },
    wake: go,
    waiting: () => (waiting.size === 0 ? 0 : all.size), // if one waits, those behind it do, too
    isIdle: () => queue.length === 0 && busy.size === 0,
    close(error) {
      clearTimeout(poll)
      closing = { error }
      for (const ticket of queue.splice(0)) fail(ticket, error)
    },
  }
}

const sumOf = (tickets: Ticket[]) => tickets.reduce((sum, { count }) => sum + count, 0)
