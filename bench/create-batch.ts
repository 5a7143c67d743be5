import { setTimeout as sleep } from 'node:timers/promises'
import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import type { Batch } from '../src/batches/batches.ts'
import { readConfig } from '../src/config/config.ts'
import type { Surroundings } from './bench-surroundings.ts'

/** Far below any speed worth measuring; anything slower is stuck. */
const MIN_USERS_PER_SECOND = 500

/** The service's own default on this machine. Here it has more, to compare them. */
export const WORKERS = readConfig({}).maxWorkers

/** The seconds within which `users` must be created, in any way. */
export const deadlineFor = (users: number) => 30 + users / MIN_USERS_PER_SECOND

/**
 * Creates a batch by `POST /v1/batches` and waits for its end, as a client does. Returns the milliseconds from the
 * request to the response with `completed`. Settings not in `config` are the service's defaults, and so is the pool.
 * Throws if the batch ends in another way.
 */
export async function makeBatch(
  { client, within }: Surroundings,
  count: number,
  config: BatchConfigBody = {},
  pool = 'default',
): Promise<number> {
  return await within(deadlineFor(count), `batch of ${count} users`, async (signal) => {
    const start = performance.now()
    const json = { pool, count, config: { max_workers: WORKERS, ...config } }
    const headers = { prefer: 'wait=60' }
    let batch = (await client.send('/v1/batches', {
      method: 'POST',
      headers,
      json,
      signal,
    })) as Batch
    while (batch.finished_at === null) {
      await sleep(50, undefined, { signal })
      batch = (await client.send(`/v1/batches/${batch.id}?pool=${pool}`, { signal })) as Batch
    }
    const milliseconds = performance.now() - start
    if (batch.status !== 'completed' || batch.created_count !== count) {
      throw new Error(`it ended as ${batch.status} with ${batch.created_count} users`)
    }
    return milliseconds
  })
}
