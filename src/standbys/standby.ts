import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { connect } from '../database/connection.ts'
import { checkConnectionBudget } from '../database/prepare.ts'
import type { Snapshot } from '../database/session.ts'
import { isBlocked, isDatabaseUnavailable, StandbyFailure } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { isStandby, type Lack } from './open-caught-up.ts'

/** Why a standby is passed over. `conflict`: it cancelled a statement, as a rule because replay had to remove rows that it read. */
export type Failure = Lack | 'conflict' | 'unavailable'

export type StandbyStatus = 'ready' | Failure

/** A snapshot at a standby. */
export interface StandbySnapshot extends Snapshot {
  /**
   * To be called if a read in the snapshot has failed: passes the standby over, because the same read may succeed at the primary.
   * Returns the error to throw.
   */
  failed(error: unknown): unknown
}

/** One standby: its connections, and whether exports use it. */
export interface Standby {
  /** Its place in READ_DATABASE_URL, from 1. */
  number: number
  status(): StandbyStatus
  /** Number of snapshots that are open, or being opened. */
  active(): number
  /** When a snapshot was last opened, by `performance.now()`. */
  lastUsedAt(): number
  /** Opens a snapshot in time. Returns what the standby lacks, or undefined if it failed: then it is passed over. */
  open(open: (sql: Sql) => Promise<Snapshot | Lack>): Promise<StandbySnapshot | Lack | undefined>
  /**
   * Passes the standby over for a while, twice as long after each further failure in a row, or until `hasRecovered`.
   * `hasRecovered` may throw.
   */
  fail(failure: Failure, reason?: { err?: unknown; hasRecovered?: (sql: Sql) => Promise<boolean> }): void
  /** Checks the standby, and uses it again when its time is over. Never throws. */
  check(): Promise<void>
  /** Throws an Error if the standby is there and does not allow the connections that it may need. */
  checkBudget(): Promise<void>
  end(): Promise<void>
}

interface StandbyOptions {
  number: number
  url: string
  schema: string
  /** Maximum number of open snapshots. */
  snapshots: number
  /** How long a snapshot may take to open. */
  waitMs: number
  silenceMs: number | undefined
  /** How long the standby is passed over after a first failure. */
  retryMs: number
  onFailure: (failure: Failure) => void
  log: FastifyBaseLogger
}

/** After further failures in a row, the standby is passed over up to this many times as long. */
const MAX_BACKOFF = 8

/** Creates the connections of one standby: one for each snapshot, and one for checks. Opens none yet. */
export function createStandby(options: StandbyOptions): Standby {
  const { number, url, schema, snapshots, waitMs, silenceMs, retryMs, onFailure, log } = options
  const connections = snapshots + 1
  const settings = { default_transaction_read_only: 'on' } // it may become a primary
  const sql = connect({ url, schema, connections, name: 'usersync standby', waitMs, silenceMs, settings })
  let status: StandbyStatus = 'ready'
  let active = 0
  let lastUsedAt = 0
  let failures = 0
  let retryAt = 0
  let hasRecovered: (sql: Sql) => Promise<boolean> = async () => false

  function become(next: StandbyStatus, err?: unknown): void {
    if (next === status) return
    status = next
    if (next === 'ready') log.info({ standby: number }, 'standby in use again')
    else log.warn({ standby: number, status, ...(err !== undefined && { err }) }, 'standby passed over')
  }

  const fail: Standby['fail'] = (failure, reason = {}) => {
    const now = performance.now()
    // Several exports meet the same failure at once. It counts once.
    if (now >= retryAt) retryAt = now + retryMs * Math.min(2 ** failures++, MAX_BACKOFF)
    hasRecovered = reason.hasRecovered ?? (async () => false)
    onFailure(failure)
    become(failure, reason.err)
  }

  function failed(error: unknown): unknown {
    if (error instanceof Problem) return error
    fail(isBlocked(error) ? 'conflict' : 'unavailable', { err: error })
    return new StandbyFailure('a read at a standby failed', { cause: error })
  }

  const leave = () => {
    active--
  }

  return {
    number,
    status: () => status,
    active: () => active,
    lastUsedAt: () => lastUsedAt,
    async open(open) {
      active++
      lastUsedAt = performance.now()
      const opening = open(sql)
      try {
        const opened = await inTime(opening, waitMs)
        if (typeof opened === 'string') {
          leave()
          return opened
        }
        failures = 0
        let closing: Promise<void> | undefined
        const close = () => (closing ??= opened.close().finally(leave))
        return { sql: opened.sql, close, failed }
      } catch (error) {
        // If it was too slow, its connection is in use until it has opened after all.
        void opening
          .then((late) => (typeof late === 'string' ? undefined : late.close()))
          .catch(() => {})
          .finally(leave)
        failed(error)
        return undefined
      }
    },
    fail,
    async check() {
      const before = retryAt
      try {
        if (status !== 'ready' && performance.now() < retryAt && !(await hasRecovered(sql))) return
        if (!(await isStandby(sql))) fail('promoted')
        else if (retryAt === before) become('ready') // it has not failed meanwhile
      } catch (err) {
        fail('unavailable', { err })
      }
    },
    async checkBudget() {
      try {
        await checkConnectionBudget(sql, connections, 'EXPORT_CONCURRENCY + 1')
      } catch (error) {
        if (isDatabaseUnavailable(error)) return fail('unavailable', { err: error })
        throw new Error(`standby ${number} of READ_DATABASE_URL: ${(error as Error).message}`, { cause: error })
      }
    },
    end: () => sql.end({ timeout: 5 }),
  }
}

/** Rejects if `opening` takes longer than `ms`. */
function inTime<Value>(opening: Promise<Value>, ms: number): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('the standby does not answer in time')), ms)
  return Promise.race([opening, late]).finally(() => clearTimeout(timer))
}
