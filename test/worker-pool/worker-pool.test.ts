import { setTimeout as sleep } from 'node:timers/promises'
import { startWorkerPool } from '../../src/batches/worker-pool.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/** No thread connects before its first task. */
const OPTIONS = {
  databaseUrl: 'postgres://127.0.0.1:1/none',
  schema: 'usersync',
  encryptionKey: new Uint8Array(32),
}

t.test('closing the pool while its threads start does not end the process', async (t) => {
  for (const delay of sized([50], [0, 100, 200, 300, 400])) {
    const workers = startWorkerPool(2, OPTIONS)
    const tasks = [1, 2].map(() => workers.run('chunk', { poolId: 1, batchId: 'none' })) // the second starts a thread
    await sleep(delay)
    await Promise.all([workers.close(), Promise.allSettled(tasks)])
    t.equal(workers.inWork(), 0)
  }
})
