import type { Sql } from 'postgres'
import type { Filter } from '../users/filter.ts'
import { type Delta, readDelta } from './delta.ts'
import { fullLines } from './full-lines.ts'
import { fullPages } from './full-pages.ts'
import { type LineForm, plainLine } from './line-form.ts'
import { findBaseVersion, type ScopeState } from './scope-state.ts'
import type { State } from './state.ts'

export interface Counts {
  added: number
  updated: number
  deleted: number
}

/** What an export says; the formats write it down. `state` and all that follows from it are of one snapshot. */
export interface Answer {
  kind: 'full' | 'delta' | 'unchanged'
  /** Why the answer is full; null for the others. */
  reason: 'none' | 'unknown' | 'requested' | null
  /** The state that the answer leads on from; null for a full one, which leads on from nothing. */
  base: State | null
  state: State
  totalCount: number
  counts: Counts
  content:
    | { kind: 'full'; pages: (separator: string) => AsyncGenerator<string, void, void> }
    | { kind: 'delta'; delta: Delta }
    | { kind: 'unchanged' }
}

/** Decides between unchanged, delta and full, and reads what the head of the answer needs. */
export async function decideAnswer(
  sql: Sql,
  filter: Filter,
  present: ScopeState,
  request: { base: State | undefined; differential: boolean; form: LineForm },
): Promise<Answer> {
  const { state, userCount: totalCount } = present
  const { base, differential, form } = request
  const full = (reason: 'none' | 'unknown' | 'requested'): Answer => ({
    kind: 'full',
    reason,
    base: null,
    state,
    totalCount,
    counts: { added: totalCount, updated: 0, deleted: 0 },
    content: { kind: 'full', pages: (separator) => allLines(sql, filter, form, separator) },
  })
  if (!differential) return full('requested')
  if (base === undefined) return full('none')
  if (base === state) {
    const counts = { added: 0, updated: 0, deleted: 0 }
    return { kind: 'unchanged', reason: null, base, state, totalCount, counts, content: { kind: 'unchanged' } }
  }
  const baseVersion = await findBaseVersion(sql, filter, base)
  if (baseVersion === undefined) return full('unknown')
  const delta = readDelta(sql, filter, baseVersion, form)
  return {
    kind: 'delta',
    reason: null,
    base,
    state,
    totalCount,
    counts: await delta.counts(),
    content: { kind: 'delta', delta },
  }
}

const allLines = (sql: Sql, filter: Filter, form: LineForm, separator: string) =>
  form === plainLine ? fullPages(sql, filter, separator) : fullLines(sql, filter, form, separator)
