import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import { inTurns } from './bench-rounds.ts'
import { makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { speed, speedRow } from './create-speed.ts'
import type { Section } from './report-section.ts'
import { count, type Row } from './report-table.ts'

/** Enough that the largest chunks still leave several to each worker. */
const USERS = 200_000

/** The settings that are compared; the first of a group is its yardstick. */
const GROUPS: Record<string, BatchConfigBody>[] = [
  { '1 worker': { max_workers: 1 }, '2 workers': { max_workers: 2 }, '4 workers': { max_workers: 4 } },
  {
    'chunks of 5,000': { chunk_size: 5_000 },
    'chunks of 100': { chunk_size: 100 },
    'chunks of 1,000': { chunk_size: 1_000 },
    'chunks of 20,000': { chunk_size: 20_000 },
  },
  {
    'no password hash': { password_hash: { algorithm: 'none' } },
    'argon2id, one hash': { password_hash: { algorithm: 'argon2id' } },
    'argon2id, per user of 100 passwords': {
      password_mode: 'per_user',
      password_hash: { algorithm: 'argon2id', distinct: 100 },
    },
  },
]

/** How each setting of a batch affects its speed, with all others at their defaults. */
export const batchSettings: Section = {
  name: 'settings',
  async measure(surroundings) {
    const users = Math.min(USERS, surroundings.options.users)
    const turns = {
      title: `${count(users)} users`,
      rounds: surroundings.options.rounds,
      prepare: () => emptyTables(surroundings),
    }
    const rows: Row[] = []
    const raw: unknown[] = []
    for (const group of GROUPS) {
      const candidates = Object.entries(group).map(([name, config]) => {
        return [name, speed(surroundings, users, () => makeBatch(surroundings, users, config))] as const
      })
      const figures = await inTurns(surroundings, turns, Object.fromEntries(candidates))
      const [[yardstick, yardstickFigures] = ['', []], ...others] = Object.entries(figures)
      for (const [name, measured] of others) {
        rows.push(speedRow(`${count(users)} users, ${name}`, measured, { name: yardstick, figures: yardstickFigures }))
      }
      raw.push({ unit: 'users/s', users, figures })
    }
    return { rows, raw }
  },
}
