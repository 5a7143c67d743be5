import type { Sql } from 'postgres'
import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import { type AgedBase, type Base, findBase } from '../states/base.ts'
import type { Filter } from '../states/filter.ts'
import type { ScopeState } from '../states/scope-state.ts'
import { type Delta, readDelta } from './delta.ts'
import { fullLines, fullPages } from './full.ts'
import { isTold, type Selection } from './lines.ts'

export interface Counts {
  added: number
  updated: number
  deleted: number
}

/** Which of the three answers it is, before any user is read. */
export type Plan =
  | { kind: 'full'; reason: 'none' | 'unknown' | 'expired' | 'requested'; base: null }
  | { kind: 'delta'; reason: null; base: AgedBase }
  | { kind: 'unchanged'; reason: null; base: Base }

/** What an export says; the formats write it down. `state` and all that follows from it are of one snapshot. */
export interface Answer {
  kind: Plan['kind']
  /** Why the answer is full; null for the others. */
  reason: Plan['reason']
  /** The state that the answer leads on from; null for a full one, which leads on from nothing. */
  base: State | null
  state: State
  /** Users that the filter selects, in all shards. */
  totalCount: number
  /** What this answer tells, of its shard. */
  counts: Counts
  /** The pages of a full answer, put together, are its lines with the separator between them. */
  content:
    | { kind: 'full'; pages: (separator: string) => Text }
    | { kind: 'delta'; delta: Delta }
    | { kind: 'unchanged' }
}

/** Decides between unchanged, delta and full, for a client who holds these states, if any, or wants all. */
export async function planAnswer(
  sql: Sql,
  filter: Filter,
  present: ScopeState,
  { held, differential }: { held: readonly State[]; differential: boolean },
): Promise<Plan> {
  if (!differential) return { kind: 'full', reason: 'requested', base: null }
  if (held.length === 0) return { kind: 'full', reason: 'none', base: null }
  const { state, version } = present
  if (held.includes(state)) return { kind: 'unchanged', reason: null, base: { state, version } }
  const base = await findBase(sql, filter, present, held)
  if (base === 'unknown' || base === 'expired') return { kind: 'full', reason: base, base: null }
  return { kind: 'delta', reason: null, base }
}

/** Makes the planned answer, reading what its head needs. `sql` is the snapshot that `present` and `plan` are of. */
export async function makeAnswer(sql: Sql, selection: Selection, present: ScopeState, plan: Plan): Promise<Answer> {
  const { state, userCount: totalCount } = present
  const { kind, reason } = plan
  const answer = { kind, reason, base: plan.base?.state ?? null, state, totalCount }
  if (plan.kind === 'unchanged') {
    return { ...answer, counts: { added: 0, updated: 0, deleted: 0 }, content: { kind: 'unchanged' } }
  }
  if (plan.kind === 'delta') {
    const delta = readDelta(sql, selection, plan.base.version)
    return { ...answer, counts: await delta.counts(), content: { kind: 'delta', delta } }
  }
  const added = selection.shard ? await countUsers(sql, selection) : totalCount
  const pages = (separator: string) => (selection.form.isPlain ? fullPages : fullLines)(sql, selection, separator)
  return { ...answer, counts: { added, updated: 0, deleted: 0 }, content: { kind: 'full', pages } }
}

/** Users of the selection; of a shard no sum is kept. */
async function countUsers(sql: Sql, selection: Selection): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::float8 as count from users u where ${isTold(sql, selection)}`
  return row?.count ?? 0
}
