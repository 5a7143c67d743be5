import { Readable } from 'node:stream'
import type { Sql } from 'postgres'
import { openSnapshot } from '../database/session.ts'
import { StandbyFailure } from '../database/sqlstate.ts'
import type { ConcurrencyLimit } from '../http/concurrency-limit.ts'
import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import type { ScopeOfPool } from '../standbys/open-caught-up.ts'
import type { Standbys } from '../standbys/standbys.ts'
import { filtersOf } from '../states/filter.ts'
import { lookUpScope } from '../states/scope-state.ts'
import type { Plan } from './answer.ts'
import type { ExportRequest } from './export-request.ts'
import { FORMATS } from './format.ts'
import { type Selection, withCredentials } from './lines.ts'
import { makeAnswer, planAnswer } from './make-answer.ts'

/** What an export needs. */
export interface ExportSource {
  /** The primary. */
  sql: Sql
  /** Undefined: every export reads the primary. */
  standbys?: Standbys | undefined
  /** Limits the exports that read the database at once. */
  concurrencyLimit: ConcurrencyLimit
  encryptionKey: Buffer
}

/** An open export. It holds a snapshot and a place until its text is read to the end or `release` is called. */
export interface OpenExport {
  plan: Plan
  state: State
  /** The version of the scope that has the state. */
  version: string
  /** Number of added, updated and deleted users. */
  changes: number
  /** Number of updated users among them. */
  updated: number
  text: Text
  release(): Promise<void>
}

/** A snapshot and a place among the exports that read the database. */
export interface Reading {
  sql: Sql
  /** Only at a standby: to be called if a read has failed. Returns the error to throw. */
  failed: ((error: unknown) => unknown) | undefined
  release(): Promise<void>
}

/**
 * Waits for a place, opens a snapshot that has everything that the primary has now, and calls `open`. If that fails at a standby,
 * repeats it at the primary. Throws what `open` throws, and `overloaded` if no place becomes free in time.
 */
export async function openReading<Opened>(
  source: ExportSource,
  scope: ScopeOfPool,
  open: (reading: Reading) => Promise<Opened>,
): Promise<Opened> {
  const releasePlace = await source.concurrencyLimit.acquire()
  const reading = await takeSnapshot(source, scope, releasePlace).catch((error) => {
    releasePlace()
    throw error
  })
  try {
    return await open(reading)
  } catch (error) {
    await reading.release()
    const thrown = reading.failed ? reading.failed(error) : error
    if (!(thrown instanceof StandbyFailure)) throw thrown
    return await openReading({ ...source, standbys: undefined }, scope, open)
  }
}

async function takeSnapshot(
  { sql, standbys }: ExportSource,
  scope: ScopeOfPool,
  releasePlace: () => void,
): Promise<Reading> {
  const atStandby = await standbys?.openSnapshot(scope)
  const snapshot = atStandby ?? (await openSnapshot(sql))
  const release = async () => {
    await snapshot.close()
    releasePlace()
  }
  return { sql: snapshot.sql, failed: atStandby?.failed, release }
}

/** Opens an export. Throws `overloaded` if no place becomes free in time, and `pool_not_found`. */
export const openExport = (source: ExportSource, request: ExportRequest): Promise<OpenExport> =>
  openReading(source, request, async (reading) => {
    const { sql, release } = reading
    const present = await lookUpScope(sql, request.pool, request.filter)
    const selection = selectionOf(request, present.poolId, source.encryptionKey)
    const plan = await planAnswer(sql, selection.filter, present, request)
    const answer = await makeAnswer(sql, selection, present, plan)
    const { added, updated, deleted } = answer.counts
    const { credentials, reproducible } = request
    const context = { filters: filtersOf(request), credentials, reproducible }
    const text = releasing(FORMATS[request.format].write(answer, context), reading)
    const { state, version } = present
    return { plan, state, version, changes: added + updated + deleted, updated, text, release }
  })

function selectionOf(request: ExportRequest, poolId: number, encryptionKey: Buffer): Selection {
  const { filter, shard, format, credentials, reproducible } = request
  const { line } = FORMATS[format]
  const form = credentials.length === 0 ? line : withCredentials(line, credentials, encryptionKey)
  return { filter: { poolId, ...filter }, shard, form, isDeltaById: reproducible }
}

/** Returns the text, and releases the reading when it has ended, failed or been abandoned. Throws StandbyFailure at a standby. */
export async function* releasing(text: Text, { failed, release }: Reading) {
  try {
    yield* text
  } catch (error) {
    throw failed ? failed(error) : error
  } finally {
    await release()
  }
}

/** How long a client may take to read an export that holds a snapshot. */
const MAX_DURATION_MS = 300_000

/**
 * Streams the text of an export from the database at its client's speed. The snapshot is released in every case, at the
 * latest after five minutes.
 */
export function directStream({ text, release }: Pick<OpenExport, 'text' | 'release'>): Readable {
  const stream = Readable.from(text, { objectMode: false, highWaterMark: 65_536 })
  const deadline = setTimeout(
    () => stream.destroy(new Error('export timed out: the client reads too slowly')),
    MAX_DURATION_MS,
  )
  stream.once('close', () => {
    clearTimeout(deadline)
    // A client may disconnect before the first read. A generator that never started runs no `finally`, so release here.
    void text.return().then(release)
  })
  return stream
}
