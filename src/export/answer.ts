import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import type { AgedBase, Base } from '../states/base.ts'

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

/** What separates a base from the present, each user at most once. Reads one snapshot. */
export interface Delta {
  counts(): Promise<{ added: number; updated: number; deleted: number }>
  /** Ids of users who were in the base and are not in the present state. */
  deletedIds(): AsyncGenerator<string[], void, void>
  /** Lines of users who are in the present state and were not in the base. */
  addedLines(): AsyncGenerator<string[], void, void>
  /** Lines of users who were in the base and are in the present state, and may differ. */
  updatedLines(): AsyncGenerator<string[], void, void>
}
