import type { Sql } from 'postgres'
import type { State } from '../protocol/state.ts'
import type { Filter } from '../states/filter.ts'
import { findBase, type ScopeState } from '../states/scope-state.ts'
import type { Answer, Plan } from './answer.ts'
import { readDelta } from './delta.ts'
import { readFull } from './full.ts'
import { isSelected, type Selection } from './lines.ts'

/** Decides between an unchanged export, a delta and a full export, from the states that the client has, if any. */
export async function planAnswer(
  sql: Sql,
  filter: Filter,
  present: ScopeState,
  { knownStates, differential }: { knownStates: readonly State[]; differential: boolean },
): Promise<Plan> {
  if (!differential) return { kind: 'full', reason: 'requested', base: null }
  if (knownStates.length === 0) return { kind: 'full', reason: 'none', base: null }
  const { state, version } = present
  if (knownStates.includes(state)) return { kind: 'unchanged', reason: null, base: { state, version } }
  const base = await findBase(sql, filter, present, knownStates)
  if (base === 'unknown' || base === 'expired') return { kind: 'full', reason: base, base: null }
  return { kind: 'delta', reason: null, base }
}

/** Creates the planned export and reads what its head needs. `sql` is the snapshot of `present` and `plan`. */
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
  const pages = (separator: string) => readFull(sql, selection, separator)
  return { ...answer, counts: { added, updated: 0, deleted: 0 }, content: { kind: 'full', pages } }
}

/** Counts the users of the selection. There is no stored count for a shard. */
async function countUsers(sql: Sql, selection: Selection): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::float8 as count from users u where ${isSelected(sql, selection)}`
  return row?.count ?? 0
}
