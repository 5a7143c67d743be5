/** An action of a client, a writer or a fault. All random choices are made here, so that a seed can be replayed. */
export type Action =
  | {
      kind: 'batch'
      pool: Pool
      count: number
      config: Record<string, unknown>
      keyed: boolean
      wait: number
      expiresIn: number | null
      vanish: boolean
    }
  | {
      kind: 'import'
      pool: Pool
      form: Form
      mode: Mode
      manner: 'whole' | 'trickle' | 'stall' | 'vanish'
      rows: number
      ms: number
    }
  | { kind: 'patch'; times: number; hot: boolean }
  | { kind: 'deleteUser'; which: number }
  | {
      kind: 'sql'
      statement: 'insert' | 'update' | 'delete' | 'move' | 'respell'
      rows: number
      holdMs: number
      commit: boolean
    }
  | { kind: 'deleteBatch'; pool: Pool; which: number }
  | { kind: 'cancel'; pool: Pool; which: number }
  | { kind: 'expire'; pool: Pool }
  | { kind: 'sync'; pool: Pool; full: boolean }
  | { kind: 'verify'; pool: Pool }
  | { kind: 'list'; pool: Pool; sort: string; limit: number }
  | { kind: 'slowRead'; pool: Pool; form: Form; ms: number }
  | { kind: 'vanish'; ms: number }
  | { kind: 'events'; pool: Pool; which: number; ms: number }
  | { kind: 'lease'; pool: Pool | typeof LEASED; callers: number; waitSeconds: number }
  | { kind: 'scopes' }
  | { kind: 'stats' }
  | { kind: 'killReplica' | 'stopReplica' | 'endReplica'; replica: number; ms: number }
  | { kind: 'killPull'; pull: number }
  | { kind: 'restartDatabase' }
  | { kind: 'killDatabase'; ms: number }
  | { kind: 'databaseWay' | 'targetWay'; manner: Manner; ms: number }

export type Pool = 'default' | 'steady'
export type Form = 'json' | 'ndjson' | 'csv'
export type Mode = 'fail' | 'skip' | 'update'
/** How the way to a server disturbs connections; see proxy.ts. */
export type Manner = 'delay' | 'cut' | 'swallow' | 'refuse'

/** An action, its start (milliseconds into its round), and a seed for its contents. */
export type Event = { round: number; at: number; seed: number } & Action
export type EventOf<K extends Action['kind'], E = Event> = E extends { kind: infer Kinds }
  ? K extends Kinds
    ? E
    : never
  : never

/** A pool with a few users for many callers. Nobody changes them. */
export const LEASED = 'leased'

export const FORMS: Form[] = ['json', 'ndjson', 'csv']
export const POOLS: Pool[] = ['default', 'steady']
