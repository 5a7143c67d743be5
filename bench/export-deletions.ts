import type { Batch } from '../src/batches/batches.ts'
import { inTurns, median } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch } from './create-batch.ts'
import { download } from './export-download.ts'
import { type Pool, presentState } from './export-pools.ts'
import type { SectionResult } from './report-section.ts'
import { count, milliseconds } from './report-table.ts'

/** The number of users in each of two batches, one of which is deleted. Larger batches would refresh the statistics. */
const USERS = 9_000
const TARGET_MS = 200

/** The delta of a deleted batch in a pool created after the statistics were taken. Each round has its own pool. */
export async function measureDeletions(surroundings: Surroundings): Promise<SectionResult> {
  let pools = 0
  const figures = await inTurns(
    surroundings,
    { title: 'deltas of deletions', rounds: surroundings.options.rounds },
    { deletions: () => deleteAndDownload(surroundings, `bench-later-${++pools}`) },
  )
  const measured = median(figures.deletions)
  return {
    rows: [
      {
        what: `delta of ${count(USERS)} deletions in a pool that statistics do not know`,
        target: `< ${TARGET_MS} ms`,
        measured: milliseconds(measured),
        met: measured < TARGET_MS,
      },
    ],
    raw: { unit: 'ms', figures },
  }
}

async function deleteAndDownload(surroundings: Surroundings, name: string): Promise<number> {
  const { client, address, within } = surroundings
  const pool: Pool = { name, id: 0, users: 2 * USERS }
  await within(10, 'creation of a pool', (signal) =>
    client.send('/v1/pools', { method: 'POST', json: { name }, signal }),
  )
  for (let n = 0; n < 2; n++) await makeBatch(surroundings, USERS, { password_hash: { algorithm: 'none' } }, name)
  const base = await presentState(surroundings, pool)
  await within(60, 'deletion of a batch', async (signal) => {
    const { items } = (await client.send(`/v1/batches?pool=${name}&limit=1`, { signal })) as { items: [Batch] }
    await client.send(`/v1/batches/${items[0].id}?pool=${name}`, { method: 'DELETE', signal })
  })
  const delta = await within(60, 'delta', (signal) => download(address, { pool, coding: 'identity', base, signal }))
  if (delta.kind !== 'delta') throw new Error(`expected a delta, got ${delta.kind}`)
  return delta.milliseconds
}
