import { type Action, FORMS, LEASED, POOLS } from './events.ts'
import type { Random } from './random.ts'

/** The relative frequency of each kind. */
// biome-ignore format: a table
const WEIGHTS = {
  batch: 22, import: 12, patch: 12, deleteUser: 4, sql: 16, deleteBatch: 4, cancel: 3, expire: 2, sync: 5, verify: 1,
  list: 6, slowRead: 3, vanish: 4, events: 3, scopes: 4, stats: 2, lease: 20,
}

/** The next action of one of many clients. */
export function actorAction(random: Random): Action {
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
    case 'lease':
      return {
        kind,
        pool: random.chance(0.7) ? LEASED : pool,
        callers: random.int(1, 20),
        waitSeconds: random.pick([0, 0, 1, 3]),
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

/** A client that changes contended users and never finishes, or many that change the same users. */
export function siege(random: Random): Action {
  if (random.chance(0.8)) return { kind: 'patch', times: random.int(8, 32), hot: true }
  const ms = random.int(15_000, 40_000)
  const form = random.pick(FORMS)
  return { kind: 'import', pool: 'default', form, mode: 'update', manner: 'stall', rows: random.int(50, 400), ms }
}
