// Asks `/livez` every 20 ms on a thread of its own, so that what the main thread is busy with does not count as the
// service's delay. Posts each answer's milliseconds; the first one that fails ends it.

import { parentPort, workerData } from 'node:worker_threads'
import { openClient } from './bench-client.ts'

const EVERY_MS = 20

const client = openClient(workerData as string)
setInterval(async () => {
  const due = performance.now()
  await client.send('/livez', { signal: AbortSignal.timeout(20_000) })
  parentPort?.postMessage(performance.now() - due)
}, EVERY_MS)
