// Requests `/livez` every 20 ms in a separate thread, so that work of the main thread does not count as a delay of the
// service. Posts the milliseconds of each response. The first failure ends the thread; so does any message, after the
// outstanding responses.

import { parentPort, workerData } from 'node:worker_threads'
import { openClient } from './bench-client.ts'

const EVERY_MS = 20

const { address, connections } = workerData as { address: string; connections: 'keep-alive' | 'new' }
const client = openClient(address, connections)
const requests: Promise<void>[] = []
const ask = async () => {
  const due = performance.now()
  await client.send('/livez', { signal: AbortSignal.timeout(20_000) })
  parentPort?.postMessage(performance.now() - due)
}
const timer = setInterval(() => requests.push(ask()), EVERY_MS)

parentPort?.once('message', async () => {
  clearInterval(timer)
  await Promise.all(requests)
  client[Symbol.dispose]()
})
