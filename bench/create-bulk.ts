import { livenessAtRest, livenessRow, watchLiveness } from './bench-liveness.ts'
import { memoryRow, watchMemory } from './bench-memory.ts'
import { inTurns } from './bench-rounds.ts'
import { makeBatch, WORKERS } from './create-batch.ts'
import { copyCandidate } from './create-copy.ts'
import { emptyTables } from './create-empty.ts'
import { insertByDrizzle, insertOneByOne } from './create-inserts.ts'
import { speed, speedRow } from './create-speed.ts'
import type { Section } from './report-section.ts'
import { count } from './report-table.ts'

/** The slow ways are measured with fewer users, and compared by users per second. */
const ONE_BY_ONE = 5_000
const BY_DRIZZLE = 20_000

/**
 * A batch of `--users`, compared with other ways to insert the same users into the same table with the same triggers,
 * and the responsiveness of the service meanwhile.
 */
export const bulkCreation: Section = {
  name: 'bulk',
  async measure(surroundings) {
    const { users, rounds } = surroundings.options
    const title = `${count(users)} users`
    const idle = await livenessAtRest(surroundings)
    using memoryWatch = watchMemory(surroundings)
    const copy = await copyCandidate(surroundings, users)
    const liveness: number[][] = []
    const figures = await inTurns(
      surroundings,
      { title, rounds, prepare: () => emptyTables(surroundings) },
      {
        batch: speed(surroundings, users, async () => {
          using watch = await watchLiveness(surroundings)
          const milliseconds = await makeBatch(surroundings, users)
          liveness.push(await watch.stop())
          return milliseconds
        }),
        copy,
        oneByOne: speed(surroundings, ONE_BY_ONE, () => insertOneByOne(surroundings, ONE_BY_ONE)),
        drizzle: speed(surroundings, BY_DRIZZLE, () => insertByDrizzle(surroundings, BY_DRIZZLE)),
      },
    )
    const memory = await memoryWatch.stop()

    const what = `${title} by POST /v1/batches, ${WORKERS} workers, argon2id`
    const { batch, oneByOne, drizzle } = figures
    return {
      rows: [
        speedRow(what, batch, { name: 'psql \\copy', figures: figures.copy, target: 0.8 }),
        speedRow(what, batch, {
          name: `one INSERT per row, 100 per commit (${count(ONE_BY_ONE)})`,
          figures: oneByOne,
          target: 20,
        }),
        speedRow(what, batch, { name: `drizzle, 1,000 rows per INSERT (${count(BY_DRIZZLE)})`, figures: drizzle }),
        livenessRow(title, liveness.flat(), idle),
        memoryRow(title, memory),
      ],
      raw: { unit: 'users/s', workers: WORKERS, users, figures, liveness: { idle, liveness }, memory },
    }
  },
}
