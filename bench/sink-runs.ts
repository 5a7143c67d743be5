import { setTimeout as sleep } from 'node:timers/promises'
import type { SyncRun } from '../src/sync/sync-runs.ts'
import type { Surroundings } from './bench-surroundings.ts'
import type { Pool } from './export-pools.ts'
import type { System } from './sink-system.ts'

/** Far longer than any run worth measuring. */
const SECONDS_A_RUN = 120

/** The service measures the run itself. More requests would take CPU time from it: 0.1 s a run if sent every 20 ms. */
const POLL_MS = 100

/** The name of every target: each pool has one. */
const TARGET = 'django'

/** Makes a target of a system that has none of our users, in place of the one that the pool may have. */
export async function newTarget({ client, sql, within }: Surroundings, pool: Pool, system: System): Promise<void> {
  await within(60, 'new target', async (signal) => {
    await sql`delete from targets where pool_id = ${pool.id}`
    await sql`vacuum sink_users`
    await system.empty()
    const json = { pool: pool.name, name: TARGET, kind: 'postgres', url: system.url, preset: 'django' }
    await client.send('/v1/targets', { method: 'POST', json, signal })
  })
}

/** Runs the pool's target, and returns the run with its time from the start of its work to the record of its outcome. */
export async function runTarget(
  { client, within }: Surroundings,
  pool: Pool,
): Promise<SyncRun & { milliseconds: number }> {
  return await within(SECONDS_A_RUN, 'sync run', async (signal) => {
    const json = { pool: pool.name, target: TARGET }
    let run = (await client.send('/v1/sync', { method: 'POST', json, signal })) as SyncRun
    while (run.finished_at === null) {
      await sleep(POLL_MS, undefined, { signal })
      run = (await client.send(`/v1/sync/runs/${run.id}?pool=${pool.name}`, { signal })) as SyncRun
    }
    if (run.failure !== null) throw new Error(`the run failed: ${run.failure}, ${run.detail}`)
    return { ...run, milliseconds: run.duration_ms ?? Number.NaN }
  })
}
