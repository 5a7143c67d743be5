import { setTimeout as sleep } from 'node:timers/promises'

/** Work that a process does again and again. */
export interface Repeating {
  /** Begins it no more, tells it to end, and resolves when it has. */
  stop(): Promise<void>
}

/** Does `work` now, and again `intervalMs` after each end of it. It must not throw, and end soon once `signal` is aborted. */
export function startRepeating(work: (signal: AbortSignal) => Promise<void>, intervalMs: number): Repeating {
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
