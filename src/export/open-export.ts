import { Readable } from 'node:stream'
import type { Sql } from 'postgres'
import { openSnapshot } from '../database/snapshot.ts'
import type { Admission } from '../http/concurrency-limit.ts'
import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import { lookUpScope } from '../states/scope-state.ts'
import { makeAnswer, type Plan, planAnswer } from './answer.ts'
import { type ExportRequest, filtersOf } from './export-request.ts'
import { FORMATS } from './format.ts'
import { lineWithCredentials, plainCsvLine, plainLine, type Selection } from './lines.ts'

/** What exports are made with. */
export interface ExportSource {
  sql: Sql
  /** The places of those that read the database at once. */
  admission: Admission
  encryptionKey: Buffer
}

/** An export that was begun: it holds a snapshot and a place until its text was read to the end, or `release` is called. */
export interface OpenExport {
  plan: Plan
  state: State
  /** Users that it tells, added, updated or deleted. */
  changes: number
  text: Text
  release(): Promise<void>
}

/** Begins an export. Throws `overloaded` where there is no place for it in time, and `pool_not_found`. */
export async function openExport(source: ExportSource, asked: ExportRequest): Promise<OpenExport> {
  const leave = await source.admission.enter()
  const snapshot = await openSnapshot(source.sql).catch((error) => {
    leave()
    throw error
  })
  const release = async () => {
    await snapshot.close()
    leave()
  }
  try {
    const present = await lookUpScope(snapshot.sql, asked.pool, asked.filter)
    const selection = selectionOf(asked, present.poolId, source.encryptionKey)
    const plan = await planAnswer(snapshot.sql, selection.filter, present, asked)
    const answer = await makeAnswer(snapshot.sql, selection, present, plan)
    const { added, updated, deleted } = answer.counts
    const context = { filters: filtersOf(asked), credentials: asked.credentials }
    const text = releasing(FORMATS[asked.format].write(answer, context), release)
    return { plan, state: present.state, changes: added + updated + deleted, text, release }
  } catch (error) {
    await release()
    throw error
  }
}

function selectionOf(asked: ExportRequest, poolId: number, encryptionKey: Buffer): Selection {
  const { filter, shard, format, credentials } = asked
  const plain = format === 'csv' ? plainCsvLine : plainLine
  const form = credentials.length === 0 ? plain : lineWithCredentials(plain, credentials, encryptionKey)
  return { filter: { poolId, ...filter }, shard, form }
}

/** The text, with `release` called when it has been read, given up or has failed. */
async function* releasing(text: Text, release: () => Promise<void>) {
  try {
    yield* text
  } finally {
    await release()
  }
}

/** How long a client may take to read an export that holds a snapshot. */
const LONGEST_MS = 300_000

/**
 * The text of an export as a stream, read from the database at its client's pace; the snapshot is given back whatever
 * becomes of it, after five minutes at the latest.
 */
export function directStream({ text, release }: OpenExport): Readable {
  const stream = Readable.from(text, { objectMode: false, highWaterMark: 65_536 })
  const deadline = setTimeout(() => stream.destroy(new Error('An export took too long to be read.')), LONGEST_MS)
  stream.once('close', () => {
    clearTimeout(deadline)
    // A client may be gone before the first read; a text that was never begun would give nothing back by its end.
    void text.return().then(release)
  })
  return stream
}
