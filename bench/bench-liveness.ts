import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { percentile } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { milliseconds, type Row } from './report-table.ts'

const EVERY_MS = 20
const TARGET_P99_MS = 50

/**
 * Sends requests until `stop`, which returns the milliseconds of all responses. Dispose of it if the measurement fails.
 */
export interface LivenessWatch extends Disposable {
  stop(): Promise<number[]>
}

/**
 * Requests `/livez` every 20 ms from a separate thread. Resolves after the first response. On one keep-alive
 * connection, a request that waits for the previous one is measured from when it was due, so one long stall shows in
 * all the samples it delayed. On new connections, as Kubernetes uses, each request waits to be accepted. `stop` waits
 * for outstanding responses.
 */
export async function watchLiveness(
  { address, within }: Surroundings,
  connections: 'keep-alive' | 'new' = 'keep-alive',
): Promise<LivenessWatch> {
  const thread = new Worker(new URL('liveness-thread.ts', import.meta.url), { workerData: { address, connections } })
  const samples: number[] = []
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // `stop` handles it
  thread.on('message', (milliseconds: number) => void samples.push(milliseconds))
  thread.on('error', failed.reject)
  const watch = {
    async stop() {
      thread.postMessage('stop')
      await Promise.race([once(thread, 'exit'), failed.promise])
      return samples
    },
    [Symbol.dispose]: () => void thread.terminate(),
  }
  try {
    await within(20, 'first /livez', (signal) => Promise.race([once(thread, 'message', { signal }), failed.promise]))
    return watch
  } catch (error) {
    watch[Symbol.dispose]()
    throw error
  }
}

/** The milliseconds of `/livez` while the service is idle, during two seconds. */
export async function livenessAtRest(surroundings: Surroundings): Promise<number[]> {
  surroundings.progress('/livez while idle')
  using watch = await watchLiveness(surroundings)
  await surroundings.within(10, 'rest', (signal) => sleep(2_000, undefined, { signal }))
  return await watch.stop()
}

/** The row that compares `/livez` during the creation of `load` with an idle service. */
export function livenessRow(load: string, busy: number[], atRest: number[]): Row {
  const p99 = percentile(busy, 99)
  const shown = (samples: number[]) =>
    `p50 ${milliseconds(percentile(samples, 50))}, p99 ${milliseconds(percentile(samples, 99))}, max ${milliseconds(Math.max(...samples))}`
  return {
    what: `/livez during the creation of ${load}, every ${EVERY_MS} ms`,
    ratio: p99 / percentile(atRest, 99),
    target: `p99 < ${TARGET_P99_MS} ms`,
    measured: shown(busy),
    yardstick: `idle: ${shown(atRest)}`,
    met: p99 < TARGET_P99_MS,
  }
}
