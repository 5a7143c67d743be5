import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyBaseLogger } from 'fastify'

/** Compares the resident memory of the process, worker threads included, with a limit. */
export interface MemoryGuard {
  /** Whether new work must be rejected: from exceeding the limit until memory is a tenth below it. */
  isOver(): boolean
  /** How many times memory exceeded the limit since the start. */
  alerts(): number
  stop(): void
}

const SAMPLE_MS = 250

/** Minimum time between forced garbage collections. Each stops the main thread for about 20 ms. */
const COLLECTION_MS = 5_000

/** The process counts as idle if the event loop was busy for less than this share of the sample. */
const IDLE_UTILIZATION = 0.1

/**
 * Starts the guard. `limitBytes` applies to resident memory, which is what a container is killed for. V8 collects garbage while the
 * process works, but an idle process would stay above the limit forever. So the guard forces a collection, only while the process
 * is idle, when it delays no request.
 */
export function startMemoryGuard(limitBytes: number, log: FastifyBaseLogger): MemoryGuard {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let over = false
  let alerts = 0
  let collectedAt = 0
  let lastUtilization = performance.eventLoopUtilization()
  const sample = () => {
    const bytes = process.memoryUsage.rss()
    if (bytes > limitBytes && !over) {
      over = true
      alerts++
      log.warn({ bytes, limitBytes }, 'memory above its limit, rejecting new work')
    } else if (over && bytes < 0.9 * limitBytes) {
      over = false
      log.info({ bytes, limitBytes }, 'memory below its limit again')
    }
    const now = performance.eventLoopUtilization()
    const isIdle = performance.eventLoopUtilization(now, lastUtilization).utilization < IDLE_UTILIZATION
    lastUtilization = now
    if (over && isIdle && Date.now() - collectedAt > COLLECTION_MS) {
      collect()
      collectedAt = Date.now()
    }
  }
  const timer = setInterval(sample, SAMPLE_MS).unref()
  return { isOver: () => over, alerts: () => alerts, stop: () => clearInterval(timer) }
}
