import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyBaseLogger } from 'fastify'

/** Watches what the process holds in memory, worker threads included, against a limit. */
export interface MemoryGuard {
  /** Whether new work is to be refused: from passing the limit until a tenth below it. */
  isOver(): boolean
  /** How often the limit was passed since the start. */
  alerts(): number
  stop(): void
}

const SAMPLE_MS = 250

/** It takes the main thread some 20 ms, so it is asked for this seldom. */
const COLLECTION_MS = 5_000

/**
 * Starts the watch; `limitBytes` is of resident memory, which is what a container is killed for. Above it the garbage is
 * collected as well: V8 gives pages back only then, and an idle process would stay above the limit for good.
 */
export function startMemoryGuard(limitBytes: number, log: FastifyBaseLogger): MemoryGuard {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let over = false
  let alerts = 0
  let collectedAt = 0
  const sample = () => {
    const bytes = process.memoryUsage.rss()
    if (bytes > limitBytes && !over) {
      over = true
      alerts++
      log.warn({ bytes, limitBytes }, 'memory is above its limit: new work is refused until it falls')
    } else if (over && bytes < 0.9 * limitBytes) {
      over = false
      log.info({ bytes, limitBytes }, 'memory is below its limit again')
    }
    if (over && Date.now() - collectedAt > COLLECTION_MS) {
      collect()
      collectedAt = Date.now()
    }
  }
  const timer = setInterval(sample, SAMPLE_MS).unref()
  return { isOver: () => over, alerts: () => alerts, stop: () => clearInterval(timer) }
}
