import { createRandom, type Random } from './random.ts'

/** What a client, a writer or a fault does. Everything that chance decides is decided here, so that a seed replays. */
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
/** What the way to a server does to connections; see proxy.ts. */
export type Manner = 'delay' | 'cut' | 'swallow' | 'refuse'

/** An action, when it begins (milliseconds into its round), and a seed for its contents. */
export type Event = { round: number; at: number; seed: number } & Action
export type EventOf<K extends Action['kind'], E = Event> = E extends { kind: infer Kinds }
  ? K extends Kinds
    ? E
    : never
  : never

export const FORMS: Form[] = ['json', 'ndjson', 'csv']
export const POOLS: Pool[] = ['default', 'steady']

/** All events of a run. A round has a subset of the faults ("swarm testing", Groce and others 2012), so that they do not mask one another. */
export function makeSchedule(seed: number, rounds: number, stormMs: number): Event[] {
  const random = createRandom(seed)
  const events: Event[] = []
  for (let round = 0; round < rounds; round++) {
    const lane = (next: () => { gap: number; busy: number; action: Action }) => {
      for (let at = 500; at < stormMs; ) {
        const { gap, busy, action } = next()
        at += gap
        if (at < stormMs) events.push({ round, at: Math.round(at), seed: random.int(1, 0x7fffffff), ...action })
        at += busy
      }
    }
    lane(() => ({ gap: random.int(80, 800), busy: 0, action: actorAction(random) }))
    if (random.chance(0.6)) lane(() => ({ gap: random.int(200, 3_000), busy: 0, action: siege(random) }))
    const meanGap = random.pick([4_000, 8_000, 16_000])
    for (const makeFault of [databaseFault, processFault, targetFault]) {
      if (random.chance(0.35)) continue
      lane(() => {
        const action = makeFault(random)
        return { gap: random.int(500, 2 * meanGap), busy: 'ms' in action ? action.ms : 2_000, action }
      })
    }
  }
  return events.sort((a, b) => a.round - b.round || a.at - b.at)
}

const WEIGHTS = {
  batch: 22, import: 12, patch: 12, deleteUser: 4, sql: 16, deleteBatch: 4, cancel: 3, expire: 2, sync: 5, verify: 1,
  list: 6, slowRead: 3, vanish: 4, events: 3, scopes: 4, stats: 2,
} // biome-ignore format: a table

function actorAction(random: Random): Action {
  const pool = random.pick(POOLS)
  const which = random.next()
  const kind = random.weighted(WEIGHTS)
  switch (kind) {
    case 'batch':
      return { kind, pool, ...makeBatch(random) }
    case 'import':
      return {
        kind,
        pool,
        form: random.pick(FORMS),
        mode: random.weighted({ fail: 1, skip: 1, update: 3 }),
        manner: random.weighted({ whole: 5, trickle: 3, stall: 2, vanish: 2 }),
        rows: random.int(5, 400),
        ms: random.int(500, 8_000),
      }
    case 'patch':
      return { kind, times: random.int(1, 24), hot: random.chance(0.8) }
    case 'deleteUser':
      return { kind, which }
    case 'sql':
      return {
        kind,
        statement: random.pick(['insert', 'insert', 'update', 'delete', 'move', 'respell'] as const),
        rows: random.int(1, 60),
        holdMs: random.chance(0.3) ? random.int(100, 2_000) : 0,
        commit: random.chance(0.85),
      }
    case 'deleteBatch':
    case 'cancel':
      return { kind, pool, which }
    case 'expire':
    case 'verify':
      return { kind, pool }
    case 'sync':
      return { kind, pool, full: random.chance(0.2) }
    case 'list':
      return {
        kind,
        pool,
        sort: random.pick(['id', 'username', 'created_at,-username', '-created_at,username']),
        limit: random.pick([20, 100, 1000]),
      }
    case 'slowRead':
      return { kind, pool, form: random.pick(FORMS), ms: random.int(2_000, 20_000) }
    case 'vanish':
      return { kind, ms: random.int(0, 200) }
    case 'events':
      return { kind, pool, which, ms: random.int(1_000, 10_000) }
    default:
      return { kind }
  }
}

function makeBatch(random: Random) {
  const count = random.weighted({ few: 5, some: 4, many: 2 })
  const size = count === 'few' ? random.int(1, 50) : count === 'some' ? random.int(51, 600) : random.int(1_000, 4_000)
  const perUser = size <= 600 && random.chance(0.4)
  const algorithm = random.weighted({ none: 3, argon2id: 4, scrypt: 1, bcrypt: 1 })
  const distinct = random.int(1, Math.min(size, 60))
  return {
    count: size,
    config: {
      password_mode: perUser ? 'per_user' : 'shared',
      password_hash: { algorithm, distinct },
      chunk_size: random.pick([37, 100, 500, 1_000]),
      max_workers: random.int(1, 2),
      role: random.pick(['user', 'tester', 'admin']),
      custom_attributes: { plan: random.pick(['free', 'gold']), amount: random.int(1, 9_999) / 100 },
    },
    keyed: random.chance(0.6),
    wait: random.pick([0, 0, 2, 10]),
    expiresIn: random.chance(0.25) ? random.int(3, 30) : null,
    vanish: random.chance(0.1),
  }
}

/** Most faults are short; some are longer than what the service waits for a connection, for a lock, or for a lease. */
const duration = (random: Random) =>
  random.weighted({ short: 5, long: 4 }) === 'short' ? random.int(300, 4_000) : random.int(8_000, 15_000)

function databaseFault(random: Random): Action {
  const kind = random.weighted({ databaseWay: 6, restartDatabase: 1, killDatabase: 2 })
  if (kind === 'restartDatabase') return { kind }
  if (kind === 'killDatabase') return { kind, ms: duration(random) }
  return { kind, manner: random.weighted({ delay: 2, cut: 2, swallow: 2, refuse: 3 }), ms: duration(random) }
}

function processFault(random: Random): Action {
  const kind = random.weighted({ killReplica: 3, stopReplica: 3, endReplica: 2, killPull: 3 })
  if (kind === 'killPull') return { kind, pull: random.int(0, 1) }
  return { kind, replica: random.int(0, 1), ms: duration(random) }
}

/** A client that sends what others change too and never comes to its end, and a crowd that changes the same. */
function siege(random: Random): Action {
  if (random.chance(0.8)) return { kind: 'patch', times: random.int(8, 32), hot: true }
  const ms = random.int(15_000, 40_000)
  const form = random.pick(FORMS)
  return { kind: 'import', pool: 'default', form, mode: 'update', manner: 'stall', rows: random.int(50, 400), ms }
}

function targetFault(random: Random): Action {
  return {
    kind: 'targetWay',
    manner: random.weighted({ delay: 5, cut: 2, swallow: 2, refuse: 2 }),
    ms: duration(random),
  }
}
