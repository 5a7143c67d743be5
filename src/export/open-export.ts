import type { Sql } from 'postgres'
import { openSnapshot } from '../database/snapshot.ts'
import type { Admission } from '../http/admission.ts'
import { makeAnswer, type Plan, planAnswer } from './answer.ts'
import type { ExportRequest } from './export-request.ts'
import { filtersOf } from './filters-of.ts'
import { FORMATS } from './format.ts'
import { lineWithCredentials, plainCsvLine, plainLine } from './line-form.ts'
import { lookUpScope } from './scope-state.ts'
import type { Selection } from './selection.ts'
import type { State } from './state.ts'
import type { Text } from './text.ts'

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
