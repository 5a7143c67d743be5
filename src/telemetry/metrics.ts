import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { ChunkOutcome } from '../batches/chunks.ts'
import type { Plan } from '../export/answer.ts'
import type { RunFailure } from '../sync/sync-runs.ts'

/** An answer that has gone out. */
export interface Answered {
  method: string
  /** The pattern of its route, never its URL; of those that no route takes, one name for all. */
  route: string
  status: number
  seconds: number
  coding: string
  wireBytes: number
  /** What the coding has saved of these bytes; undefined where it is not known. */
  savedBytes: number | undefined
}

/**
 * Counts and times what this process does. One for each service, in a registry of its own; the parts of the service tell it
 * what happened, and know nothing of Prometheus.
 */
export interface Metrics {
  registry: Registry
  answered(answer: Answered): void
  /** An answer has ended half-way with its connection, after so many bytes. */
  cutOff(wireBytes: number): void
  /** An export was answered, also by 304. */
  exported(plan: Pick<Plan, 'kind'> & Partial<Plan>): void
  chunkEnded(result: ChunkOutcome, seconds: number): void
  syncRunEnded(failure: RunFailure | null, seconds: number): void
  batchesExpired(count: number): void
  /** A look for expired batches has ended. */
  lookedForExpired(outcome: 'done' | 'failed'): void
}

const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const CHUNK_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const RUN_SECONDS = [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900]
/** A second to the 30 days for which a base is kept by default. */
const BASE_SECONDS = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000]

/** Begins to count; the metrics of the process itself (memory, event loop, collections of garbage) are included. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers: [registry] })
  // Summed here and told when it is read: prom-client finds a label by a text that it puts together each time, 1 µs an answer.
  const tally = (name: string, help: string, ...labelNames: string[]) => {
    const sums = new Map<string, number>()
    const collect = function (this: Counter) {
      this.reset()
      for (const [labels, sum] of sums) {
        const values = labels.split(' ')
        this.inc(Object.fromEntries(labelNames.map((name, place) => [name, values[place] ?? ''])), sum)
      }
    }
    new Counter({ name, help, labelNames, registers: [registry], collect })
    /** The values of the labels, with spaces between them. */
    return (labels: string, amount: number) => sums.set(labels, (sums.get(labels) ?? 0) + amount)
  }
  const histogram = (name: string, help: string, buckets: number[], ...labelNames: string[]) =>
    new Histogram({ name, help, labelNames, buckets, registers: [registry] })

  const requests = histogram(
    'usersync_http_request_duration_seconds',
    'From the first line of a request to the end of its answer.',
    REQUEST_SECONDS,
    'method',
    'route',
    'status',
  )
  const wireBytes = tally(
    'usersync_response_bytes_total',
    'Bytes of answers as they went out, heads included, by content coding; `cut` are those of answers without an end.',
    'coding',
  )
  const savedBytes = tally(
    'usersync_response_saved_bytes_total',
    'Bytes that content coding saved, at least; exports of the cache and other long streams are not counted.',
    'coding',
  )
  const exports = tally(
    'usersync_exports_total',
    'Answered exports; a full one has the reason why it is full.',
    'kind',
    'reason',
  )
  const baseAges = histogram(
    'usersync_base_age_seconds',
    'How long ago the base of a delta became the state, on its last time.',
    BASE_SECONDS,
  )
  const usersCreated = counter('usersync_users_created_total', 'Users that the chunks of batches made.')
  const usersFailed = counter(
    'usersync_users_failed_total',
    'Users of batches that could not be made: what they would be called is taken.',
  )
  const chunks = histogram(
    'usersync_chunk_duration_seconds',
    'Work on one chunk of a batch, a transaction.',
    CHUNK_SECONDS,
    'outcome',
  )
  const runs = counter('usersync_sync_runs_total', 'Pushes to targets: succeeded, or why not.', 'outcome')
  const runSeconds = histogram(
    'usersync_sync_run_duration_seconds',
    'A push to a target, all attempts together.',
    RUN_SECONDS,
  )
  const expired = counter('usersync_batches_expired_total', 'Batches removed at the end of their time.')
  const looks = counter('usersync_expiry_looks_total', 'Looks for batches whose time is over.', 'outcome')

  // A counter that first appears as 1 has not grown for Prometheus: what alerts look at is there from the start.
  for (const outcome of ['done', 'retry', 'failed']) chunks.zero({ outcome })
  for (const outcome of ['done', 'failed']) looks.inc({ outcome }, 0)
  runs.inc({ outcome: 'succeeded' }, 0)
  wireBytes('cut', 0)

  return {
    registry,
    answered(answer) {
      const { method, route, status, coding } = answer
      requests.observe({ method, route, status: `${Math.floor(status / 100)}xx` }, answer.seconds)
      wireBytes(coding, answer.wireBytes)
      if (answer.savedBytes) savedBytes(coding, answer.savedBytes)
    },
    cutOff: (bytes) => wireBytes('cut', bytes),
    exported({ kind, reason, base }) {
      exports(reason ? `${kind} ${reason}` : kind, 1)
      const age = base && 'ageSeconds' in base ? base.ageSeconds : null
      if (age !== null) baseAges.observe(age)
    },
    chunkEnded(result, seconds) {
      if (result.outcome === 'none') return
      chunks.observe({ outcome: result.outcome }, seconds)
      if (result.outcome !== 'done') return
      usersCreated.inc(result.created)
      usersFailed.inc(result.failed)
    },
    syncRunEnded(failure, seconds) {
      runs.inc({ outcome: failure ?? 'succeeded' })
      runSeconds.observe(seconds)
    },
    batchesExpired: (count) => expired.inc(count),
    lookedForExpired: (outcome) => looks.inc({ outcome }),
  }
}
