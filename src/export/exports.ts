import type { Readable } from 'node:stream'
import type { Sql } from 'postgres'
import project from '../../package.json' with { type: 'json' }
import { StandbyFailure } from '../database/sqlstate.ts'
import { createConcurrencyLimit } from '../http/concurrency-limit.ts'
import type { Coding } from '../http/content-coding.ts'
import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import type { Standbys } from '../standbys/standbys.ts'
import { lookUpScope, type PoolScopeState } from '../states/scope-state.ts'
import type { Plan } from './answer.ts'
import { CacheFull, type ExportCache } from './cache/export-cache.ts'
import type { ExportRequest } from './export-request.ts'
import { planAnswer } from './make-answer.ts'
import { directStream, type ExportSource, type OpenExport, openExport } from './open-export.ts'
import { type OpenPart, openPart } from './open-part.ts'
import type { PartRequest } from './part-request.ts'
import { createShardStates } from './shard-states.ts'
import { createSingleFlight } from './single-flight.ts'

/** An export that is ready to send. No snapshot waits for its client. */
export interface Export {
  plan: Plan
  state: State
  /** Number of users that were in the base and may differ. */
  updated: number
  /** A text, or a stream of bytes. `encoded` is set if it is already encoded, `bytes` if its length is known. */
  body: { text: string } | { stream: Readable; encoded: Coding | undefined; bytes: number | undefined }
}

export interface Exports {
  /**
   * Returns the current state of a filter. Concurrent requests share one look-up, which starts after they arrived.
   * Throws `pool_not_found`.
   */
  currentScope(request: Pick<ExportRequest, 'pool' | 'filter'>): Promise<PoolScopeState>
  /** Returns the current state of a part of a filter's users. Throws `overloaded`, `pool_not_found`. */
  shardState: ReturnType<typeof createShardStates>
  /** Throws `overloaded`, `pool_not_found`, `shutting_down`. */
  open(request: ExportRequest, coding: Coding): Promise<Export>
  /**
   * Opens an export that is read from the database at the reader's speed, without any cache. Throws `overloaded`,
   * `pool_not_found`.
   */
  openDirect(request: ExportRequest): Promise<OpenExport>
  /** Opens a part of a file for a system under test. Throws what `openPart` throws. */
  openPart(request: PartRequest, after: string | undefined): Promise<OpenPart>
  /** Number of exports that read the database. */
  reading(): number
  /** Resolves when no export reads the database. */
  drain(): Promise<void>
}

interface ExportsOptions {
  /** The primary. Current states are always read there. */
  sql: Sql
  /** Undefined: every export reads the primary. */
  standbys?: Standbys | undefined
  encryptionKey: Buffer
  /** Maximum number of exports that read the database at once. */
  concurrency: number
  /** How long an export waits for a place before it is rejected. */
  waitMs: number
  /** Undefined if the cache is off. */
  cache: ExportCache | undefined
}

/** Up to this many users and characters, an export is read into memory at once, and its snapshot is released. */
const FEW_USERS = 2_000
const SHORT_TEXT = 4_194_304

/**
 * A longer text is encoded once, through the cache, and not for each client: a thousand simultaneous requests for 300
 * KB would cost six seconds of gzip.
 */
const TINY_TEXT = 32_768

/** Estimated size of a user as JSON, to predict whether an export fits the cache. */
const BYTES_A_USER = 400

/**
 * The next look-up starts while the result of the last one returns. Two give about 4 % more unchanged exports than one;
 * three give no more.
 */
const LOOK_UPS_AT_ONCE = 2

/** How often an export is retried because the pool changed between the look-up and the snapshot. */
const ATTEMPTS = 3

/**
 * Thrown if the snapshot of a cached export has another state or plan than the key of the cache. The plan differs if a base
 * expired meanwhile, or is not expired yet at a standby.
 */
class ExportChanged extends Error {}

/**
 * Produces each export once for all concurrent requests for it: a small one in memory, a large one through the cache,
 * with the state as its key. A large export that bypasses the cache (credentials, or a cache that is off or full) is
 * read at its client's speed.
 */
export function createExports(options: ExportsOptions): Exports {
  const { sql, standbys, encryptionKey, concurrency, waitMs, cache } = options
  const concurrencyLimit = createConcurrencyLimit(concurrency, waitMs)
  const source = { sql, standbys, concurrencyLimit, encryptionKey }
  const shareScope = createSingleFlight<PoolScopeState>(LOOK_UPS_AT_ONCE)
  const shareSmall = createSingleFlight<Small>(1)
  const currentScope: Exports['currentScope'] = ({ pool, filter }) =>
    shareScope(keyOfScope(pool, filter), () => lookUpScope(source.sql, pool, filter))

  /** The size of a current full export is known without opening it. Other exports must be opened first. */
  async function planned(request: ExportRequest): Promise<Small> {
    const present = await currentScope(request)
    const filter = { poolId: present.poolId, ...request.filter }
    const plan = await planAnswer(source.sql, filter, present, request)
    const users = present.userCount / (request.shard?.count ?? 1)
    if (plan.kind === 'full' && users * BYTES_A_USER > TINY_TEXT)
      return { plan, state: present.state, users, updated: 0, text: undefined }
    return await shareSmall(JSON.stringify(request), () => readSmall(source, request))
  }

  return {
    currentScope,
    shardState: createShardStates(source, currentScope),
    openDirect: (request) => openExport(source, request),
    openPart: (request, after) => openPart(source, request, after),
    reading: () => concurrencyLimit.active(),
    drain: () => concurrencyLimit.idle(),
    async open(request, coding) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const { plan, state, users, updated, text } = await planned(request)
        const bytes = (users * BYTES_A_USER) / (coding === 'identity' ? 1 : 20)
        const usable = request.credentials.length === 0 && cache?.fits(bytes) ? cache : undefined
        if (text !== undefined && (text.length <= TINY_TEXT || !usable)) return { plan, state, updated, body: { text } }
        if (!usable) break
        try {
          const key = keyOf(request, plan, state)
          const opened = await usable.open(key, coding, () => textOf(source, request, { plan, state }, text))
          return { plan, state, updated, body: { ...opened, encoded: coding } }
        } catch (error) {
          if (error instanceof ExportChanged) continue
          if (usable.fits(bytes) && !(error instanceof CacheFull)) throw error
          break // the disk failed or is full: bypass the cache
        }
      }
      const opened = await openExport(source, request)
      const { plan, state, updated } = opened
      return { plan, state, updated, body: { stream: directStream(opened), encoded: undefined, bytes: undefined } }
    },
  }
}

/** An export and, if it is small, its text. */
interface Small {
  plan: Plan
  state: State
  users: number
  updated: number
  text: string | undefined
}

async function readSmall(source: ExportSource, request: ExportRequest): Promise<Small> {
  const { plan, state, changes, updated, text, release } = await openExport(source, request)
  const small: Small = { plan, state, users: changes, updated, text: undefined }
  if (changes > FEW_USERS) {
    await release()
    return small
  }
  try {
    let whole = ''
    for await (const part of text) {
      whole += String(part)
      if (whole.length > SHORT_TEXT) return small
    }
    return { ...small, text: whole }
  } catch (error) {
    if (!(error instanceof StandbyFailure)) throw error
    return await readSmall({ ...source, standbys: undefined }, request)
  }
}

/**
 * Returns the text of the planned export, or reads it if it is not known yet. Throws ExportChanged before its first page if
 * the snapshot has another state or plan.
 */
async function* textOf(
  source: ExportSource,
  request: ExportRequest,
  planned: { plan: Plan; state: State },
  known: string | undefined,
): Text {
  if (known !== undefined) return yield known
  const opened = await openExport(source, request)
  if (keyOf(request, opened.plan, opened.state) !== keyOf(request, planned.plan, planned.state)) {
    await opened.release()
    throw new ExportChanged()
  }
  yield* opened.text
}

/** Identifies a scope. Neither a pool's name nor an id contains a space. */
const keyOfScope = (pool: string, { batchId = '', testUsersOnly, bulkUsersOnly }: ExportRequest['filter']) =>
  `${pool} ${batchId} ${testUsersOnly} ${bulkUsersOnly}`

/** Everything that determines the text of an export: its state, and how it is written. The cache outlives a release, which may write otherwise. */
const keyOf = (
  { pool, filter, format, shard, reproducible }: ExportRequest,
  { kind, reason, base }: Plan,
  state: State,
) => JSON.stringify([project.version, pool, filter, format, shard, reproducible, kind, reason, base?.state, state])
