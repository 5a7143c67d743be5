import { setTimeout as sleep } from 'node:timers/promises'

/** A periodic task. */
export interface Repeating {
  /** Starts no further run, aborts the current one, and resolves when it has ended. */
  stop(): Promise<void>
}

/** Runs `work` now and again `intervalMs` after each run ends. `work` must not throw, and must return soon after `signal` aborts. */
export function repeatEvery(work: (signal: AbortSignal) => Promise<void>, intervalMs: number): Repeating {
  const stopping = new AbortController()
  const { signal } = stopping
  async function run(): Promise<void> {
    while (!signal.aborted) {
      await work(signal)
      await sleep(intervalMs, undefined, { signal }).catch(() => {})
    }
  }
  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}
