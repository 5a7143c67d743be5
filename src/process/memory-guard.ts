import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyBaseLogger } from 'fastify'

/** Compares the resident memory of the process, worker threads included, with a limit. */
export interface MemoryGuard {
  /** Whether new work must be rejected: from exceeding the limit until memory is a tenth below it. */
  isOver(): boolean
  /** How many times memory exceeded the limit since the start. */
  alerts(): number
  /** From now on also collects below the limit, when the process has grown. Only for a process that has nothing else to do. */
  trimWhileIdle(): void
  stop(): void
}

const SAMPLE_MS = 250

/** Minimum time from the start to the first forced garbage collection, and between two. Each takes about 70 ms of the main thread. */
const COLLECTION_MS = 5_000

/** A collection is worth its time if resident memory grew by this much since the last one. */
const GROWTH_BYTES = 32 * 1_048_576

/** A sample is idle if the event loop was busy for less than this share of it. */
const IDLE_UTILIZATION = 0.1

/** The process is idle after this many idle samples, 2 s, for the first collection and above the limit. */
const IDLE_SAMPLES = 8

/**
 * For later collections, 60 s. The collection also drops compiled code: with one in each pause of 4 s, a process answered 23,000
 * requests a second with 304 instead of 30,000.
 */
const LONG_IDLE_SAMPLES = 240

/**
 * Starts the guard. `limitBytes` applies to resident memory, which is what a container is killed for. V8 collects garbage while the
 * process works, but an idle process would keep what its start or an export needed. So the guard forces a collection above the limit,
 * only while the process is idle, when it delays no request. `isAtWork` says whether worker threads run, which leave the event loop
 * idle: a collection at that time delayed health checks by 100 ms. This one also returns the young generation to the system: 30 MiB
 * after the start. From then on V8 collects before the buffers of an export take 70 MiB, instead of 130.
 */
export function startMemoryGuard(limitBytes: number, isAtWork: () => boolean, log: FastifyBaseLogger): MemoryGuard {
  let over = false
  let trims = false
  let alerts = 0
  let collectedAt = Date.now()
  let bytesCollected = 0
  let idleSamples = 0
  let lastUtilization = performance.eventLoopUtilization()
  const sample = () => {
    const bytes = process.memoryUsage.rss()
    if (bytes > limitBytes && !over) {
      over = true
      alerts++
      collectedAt = 0 // collect as soon as the process is idle
      log.warn({ bytes, limitBytes }, 'memory above its limit, rejecting new work')
    } else if (over && bytes < 0.9 * limitBytes) {
      over = false
      log.info({ bytes, limitBytes }, 'memory below its limit again')
    }
    const now = performance.eventLoopUtilization()
    const isBusy = performance.eventLoopUtilization(now, lastUtilization).utilization >= IDLE_UTILIZATION
    lastUtilization = now
    idleSamples = isBusy || isAtWork() ? 0 : idleSamples + 1
    const hasGrown = bytes > bytesCollected + GROWTH_BYTES
    const enough = over || bytesCollected === 0 ? IDLE_SAMPLES : LONG_IDLE_SAMPLES
    if ((over || (trims && hasGrown)) && idleSamples >= enough && Date.now() - collectedAt > COLLECTION_MS) {
      collectGarbage()
      collectedAt = Date.now()
      bytesCollected = process.memoryUsage.rss()
      log.debug({ bytes, bytesCollected }, 'memory collected while idle')
    }
  }
  const timer = setInterval(sample, SAMPLE_MS).unref()
  return {
    isOver: () => over,
    alerts: () => alerts,
    trimWhileIdle() {
      trims = true
    },
    stop: () => clearInterval(timer),
  }
}

/** The function `gc` exists only in contexts that are made after the flag was set. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext(`gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })`)
}
