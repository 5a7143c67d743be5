// Asks `/livez` every 20 ms on a thread of its own, so that what the main thread is busy with does not count as the
// service's delay. Posts each answer's milliseconds; the first one that fails ends it, and so does any message, after the
// answers that are on their way.

import { parentPort, workerData } from 'node:worker_threads'
import { openClient } from './bench-client.ts'

const EVERY_MS = 20

const { address, connections } = workerData as { address: string; connections: 'kept' | 'anew' }
const client = openClient(address, connections)
const asked: Promise<void>[] = []
const ask = async () => {
  const due = performance.now()
  await client.send('/livez', { signal: AbortSignal.timeout(20_000) })
  parentPort?.postMessage(performance.now() - due)
}
const timer = setInterval(() => asked.push(ask()), EVERY_MS)

parentPort?.once('message', async () => {
  clearInterval(timer)
  await Promise.all(asked)
  client[Symbol.dispose]()
})
