import { type Candidate, inTurns, median, ratioOf } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { download } from './export-download.ts'
import { changeUsers, type Pool, presentState, spreadIds } from './export-pools.ts'
import type { SectionResult } from './report-section.ts'
import { count, milliseconds } from './report-table.ts'

/** A delta takes a few milliseconds: many rounds are cheap, and few would be inconclusive. */
const TURNS = 20
const CHANGES = 100
const TARGET = { ratio: 1.5, share: 0.01 }

/**
 * A delta of 100 changed users, in a large pool and in a small one, and what it saves compared with the large pool's
 * full export.
 */
export async function measureDelta(surroundings: Surroundings, big: Pool, small: Pool): Promise<SectionResult> {
  const bytes: number[] = []
  const figures = await inTurns(
    surroundings,
    { title: 'deltas', rounds: TURNS },
    { big: await freshDelta(surroundings, big, bytes), small: await freshDelta(surroundings, small, []) },
  )
  const deltaBytes = median(bytes)
  const fullBytes = await surroundings.within(120, 'full export', async (signal) => {
    return (await download(surroundings.address, { pool: big, coding: 'identity', signal })).bytes
  })

  const ratio = ratioOf(figures.big, figures.small) ?? Number.NaN
  const share = deltaBytes / fullBytes
  const what = `delta of ${CHANGES} changed among ${count(big.users)} users`
  return {
    rows: [
      {
        what: `${what}, request to last byte`,
        ratio,
        target: `≤ ${TARGET.ratio}`,
        measured: milliseconds(median(figures.big)),
        yardstick: `among ${count(small.users)}: ${milliseconds(median(figures.small))}`,
        met: ratio <= TARGET.ratio,
      },
      {
        what: `${what}, NDJSON`,
        ratio: share,
        target: `< ${TARGET.share}`,
        measured: `${count(deltaBytes)} bytes`,
        yardstick: `full export: ${count(fullBytes)} bytes`,
        met: share < TARGET.share,
      },
    ],
    raw: { unit: 'ms', changes: CHANGES, figures, deltaBytes, fullBytes },
  }
}

/**
 * A candidate that changes 100 users that no earlier turn has changed, and then requests the delta from the state
 * before. No other request can have created that delta already. Adds the size of each to `bytes`.
 */
async function freshDelta(surroundings: Surroundings, pool: Pool, bytes: number[]): Promise<Candidate> {
  const ids = await spreadIds(surroundings, pool, TURNS * CHANGES)
  let turn = 0
  return async () => {
    const base = await presentState(surroundings, pool)
    await changeUsers(
      surroundings,
      pool,
      ids.filter((_, i) => i % TURNS === turn),
    )
    turn++
    const delta = await surroundings.within(30, 'delta', (signal) =>
      download(surroundings.address, { pool, coding: 'identity', base, signal }),
    )
    if (delta.kind !== 'delta') throw new Error(`expected a delta, got ${delta.kind}`)
    bytes.push(delta.bytes)
    return delta.milliseconds
  }
}
