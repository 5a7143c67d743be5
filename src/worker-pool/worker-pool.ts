import { setTimeout as sleep } from 'node:timers/promises'
import { Piscina } from 'piscina'
import { Problem } from '../errors.ts'
import type { Tasks, ThreadOptions } from './thread.ts'

/** Worker threads behind one typed function. */
export interface WorkerPool {
  threads: number
  /**
   * Runs a task in a thread. Throws `overloaded` at once where as many tasks as threads are in work: the queue is the
   * database's, and piscina's own limit would not hold for tasks that carry a signal (piscina 5.3.2).
   */
  run<Name extends keyof Tasks>(name: Name, input: Parameters<Tasks[Name]>[0]): ReturnType<Tasks[Name]>
  /** Tasks in work. */
  inWork(): number
  /** Ends the threads, also those in work: their transactions are rolled back by the database. */
  close(): Promise<void>
}

/** How long a close waits for threads that load their code; half a second is usual. */
const LONGEST_LOADING_MS = 5_000

/** Starts `threads` worker threads; each opens its database connection with its first task. */
export function startWorkerPool(threads: number, options: ThreadOptions): WorkerPool {
  const piscina = new Piscina({
    filename: new URL('./thread.ts', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    workerData: options,
  })
  let inWork = 0
  let loaded = 0
  const allLoaded = Promise.withResolvers<void>()
  piscina.on('message', () => {
    if (++loaded === threads) allLoaded.resolve()
  })
  return {
    threads,
    inWork: () => inWork,
    async close() {
      // A thread that is ended while it loads takes the process with it (SIGTRAP, one in 26 here; Node 24.21).
      await Promise.race([allLoaded.promise, sleep(LONGEST_LOADING_MS, undefined, { ref: false })])
      await piscina.destroy()
    },
    async run(name, input) {
      if (inWork >= threads)
        throw new Problem('overloaded', 'All workers are busy.', { headers: { 'retry-after': '1' } })
      inWork++
      try {
        return await piscina.run(input, { name })
      } finally {
        inWork--
      }
    },
  } as WorkerPool
}
