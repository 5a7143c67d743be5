import type { State } from '../protocol/state.ts'
import type { Text } from '../protocol/text.ts'
import type { AgedBase, Base } from '../states/scope-state.ts'

export interface Counts {
  added: number
  updated: number
  deleted: number
}

/** Which of the three responses to send. It is decided before any user is read. */
export type Plan =
  | { kind: 'full'; reason: 'none' | 'unknown' | 'expired' | 'requested'; base: null }
  | { kind: 'delta'; reason: null; base: AgedBase }
  | { kind: 'unchanged'; reason: null; base: Base }

/**
 * The content of an export, which the formats serialise. `state` and everything that follows from it come from one
 * snapshot.
 */
export interface Answer {
  kind: Plan['kind']
  /** Why the export is full; null for the others. */
  reason: Plan['reason']
  /** The state that the export starts from; null for a full export, which needs no base. */
  base: State | null
  state: State
  /** Number of users that the filter selects, in all shards. */
  totalCount: number
  /** Numbers of users in this response, of its shard only. */
  counts: Counts
  /** The concatenated pages of a full export are its lines with the separator between them. */
  content:
    | { kind: 'full'; pages: (separator: string) => Text }
    | { kind: 'delta'; delta: Delta }
    | { kind: 'unchanged' }
}

/** The difference between a base and the current state. Each user occurs at most once. Reads one snapshot. */
export interface Delta {
  counts(): Promise<{ added: number; updated: number; deleted: number }>
  /** Ids of users that were in the base and are not in the current state. */
  deletedIds(): AsyncGenerator<string[], void, void>
  /** Lines of users that are in the current state and were not in the base. */
  addedLines(): AsyncGenerator<string[], void, void>
  /** Lines of users that were in the base and are in the current state, and may differ. */
  updatedLines(): AsyncGenerator<string[], void, void>
}
