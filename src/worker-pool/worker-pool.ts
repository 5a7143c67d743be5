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

/** Starts `threads` worker threads; each opens its database connection with its first task. */
export function startWorkerPool(threads: number, options: ThreadOptions): WorkerPool {
  const piscina = new Piscina({
    filename: new URL('./thread.ts', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    workerData: options,
  })
  let inWork = 0
  return {
    threads,
    inWork: () => inWork,
    close: () => piscina.destroy(),
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
