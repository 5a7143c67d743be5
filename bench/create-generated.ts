import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import { livenessAtRest, livenessRow, watchLiveness } from './bench-liveness.ts'
import { memoryRow, watchMemory } from './bench-memory.ts'
import { inTurns } from './bench-rounds.ts'
import { makeBatch, WORKERS } from './create-batch.ts'
import { copyCandidate } from './create-copy.ts'
import { emptyTables } from './create-empty.ts'
import { speed, speedRow } from './create-speed.ts'
import type { Section } from './report-section.ts'
import { count } from './report-table.ts'

/** Eight attributes as a load test needs them. */
const EIGHT: BatchConfigBody = {
  custom_attributes: {
    plan: { $choice: { free: 7, gold: 2, vip: 1 } },
    age: { $int: [18, 90] },
    joined: { $date: ['2020-01-01', '2026-01-01'] },
    first: { $name: 'first' },
    last: { $name: 'last' },
    city: { $place: 'city' },
    full_name: { $template: '{first} {last}' },
    phone: { $maybe: 0.5, of: { $phone: true } },
  },
}

/** A batch of `--users` with generated attributes, against psql's copy of the same rows, and against constant attributes. */
export const generatedUsers: Section = {
  name: 'generated',
  async measure(surroundings) {
    const { users, rounds } = surroundings.options
    const title = `${count(users)} users with eight generated attributes`
    const idle = await livenessAtRest(surroundings)
    const copy = await copyCandidate(surroundings, users, EIGHT)
    using memoryWatch = watchMemory(surroundings)
    const liveness: number[][] = []
    const turns = { title, rounds, prepare: () => emptyTables(surroundings) }
    const figures = await inTurns(surroundings, turns, {
      generated: speed(surroundings, users, async () => {
        using watch = await watchLiveness(surroundings)
        const milliseconds = await makeBatch(surroundings, users, EIGHT)
        liveness.push(await watch.stop())
        return milliseconds
      }),
      copy,
      constant: speed(surroundings, users, () => makeBatch(surroundings, users)),
    })
    const memory = await memoryWatch.stop()
    const what = `${title}, ${WORKERS} workers, argon2id`
    const { generated, constant } = figures
    return {
      rows: [
        speedRow(what, generated, { name: 'psql \\copy of these rows', figures: figures.copy, target: 0.6 }),
        speedRow(what, generated, { name: 'the same without attributes', figures: constant }),
        livenessRow(title, liveness.flat(), idle),
        memoryRow(title, memory),
      ],
      raw: { unit: 'users/s', workers: WORKERS, users, figures, liveness: { idle, liveness }, memory },
    }
  },
}
