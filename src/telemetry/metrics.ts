import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { Type } from 'typebox'
import type { ChunkOutcome } from '../batches/chunks.ts'
import type { Plan } from '../export/answer.ts'
import type { RunFailure } from '../sync/sync-runs.ts'

/** A completed response. */
export interface Answered {
  method: string
  /** The route pattern, never the URL. Requests without a route share one name. */
  route: string
  status: number
  seconds: number
  coding: string
  wireBytes: number
  /** Bytes that content coding saved. Undefined if unknown. */
  savedBytes: number | undefined
}

/**
 * Counts and times what this process does. Each service has its own, with its own registry. The parts of the service report events
 * to it, and know nothing of Prometheus.
 */
export interface Metrics {
  registry: Registry
  answered(answer: Answered): void
  /** A connection closed within a response, after this many bytes. */
  cutOff(wireBytes: number): void
  /** An export was answered, including 304. */
  exported(plan: Pick<Plan, 'kind'> & Partial<Plan>): void
  chunkEnded(result: ChunkOutcome, seconds: number): void
  syncRunEnded(failure: RunFailure | null, seconds: number): void
  batchesExpired(count: number): void
  /** A request for a lease was decided, after this time in the line. */
  leaseRequested(outcome: 'granted' | 'exhausted', seconds: number, users: number): void
  leasesEnded(ending: 'returned' | 'expired' | 'forced' | 'abandoned', count: number): void
  /** A check for expired batches has ended. */
  lookedForExpired(outcome: 'done' | 'failed'): void
}

const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const CHUNK_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const RUN_SECONDS = [0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900]
/** From a second to 30 days, the default retention of a base. */
const BASE_SECONDS = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000]

/** Creates the metrics, including those of the process itself (memory, event loop, garbage collection). */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers: [registry] })
  // Sums locally and reports on scrape: prom-client builds a text for each label look-up, 1 µs per response.
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
    /** The label values, separated by spaces. */
    return (labels: string, amount: number) => sums.set(labels, (sums.get(labels) ?? 0) + amount)
  }
  const histogram = (name: string, help: string, buckets: number[], ...labelNames: string[]) =>
    new Histogram({ name, help, labelNames, buckets, registers: [registry] })

  const requests = histogram(
    'usersync_http_request_duration_seconds',
    'From the first line of a request to the end of its response.',
    REQUEST_SECONDS,
    'method',
    'route',
    'status',
  )
  const wireBytes = tally(
    'usersync_response_bytes_total',
    'Bytes of responses on the wire, including headers, by content coding; `cut`: responses that were cut off.',
    'coding',
  )
  const savedBytes = tally(
    'usersync_response_saved_bytes_total',
    'Minimum of the bytes that content coding saved; exports from the cache and other long streams are not counted.',
    'coding',
  )
  const exports = tally(
    'usersync_exports_total',
    'Answered exports; a full one with the reason why it is full.',
    'kind',
    'reason',
  )
  const baseAges = histogram(
    'usersync_base_age_seconds',
    'Time since the base of a delta last became the current state.',
    BASE_SECONDS,
  )
  const usersCreated = counter('usersync_users_created_total', 'Users created by the chunks of batches.')
  const usersFailed = counter(
    'usersync_users_failed_total',
    'Users of batches that could not be created because their username or email is taken.',
  )
  const chunks = histogram(
    'usersync_chunk_duration_seconds',
    'Duration of one chunk of a batch, a transaction.',
    CHUNK_SECONDS,
    'outcome',
  )
  const runs = counter('usersync_sync_runs_total', 'Pushes to targets: succeeded, or the failure.', 'outcome')
  const runSeconds = histogram(
    'usersync_sync_run_duration_seconds',
    'Duration of a push to a target, all attempts together.',
    RUN_SECONDS,
  )
  const expired = counter('usersync_batches_expired_total', 'Batches removed after they expired.')
  const looks = counter('usersync_expiry_looks_total', 'Checks for expired batches.', 'outcome')

  const leaseRequests = histogram(
    'usersync_lease_request_wait_seconds',
    'Time from a request for a lease to its lease, or to the answer that too few users are free.',
    REQUEST_SECONDS,
    'outcome',
  )
  const leasedUsers = counter('usersync_lease_users_granted_total', 'Users that leases granted.')
  const leasesEnded = counter('usersync_leases_ended_total', 'Leases that ended, by how.', 'ending')

  // Prometheus sees no increase in a counter that first appears as 1. So the labels that alerts use exist from the start.
  for (const outcome of ['done', 'retry', 'failed']) chunks.zero({ outcome })
  for (const outcome of ['done', 'failed']) looks.inc({ outcome }, 0)
  for (const outcome of ['granted', 'exhausted']) leaseRequests.zero({ outcome })
  for (const ending of ['returned', 'expired', 'forced', 'abandoned']) leasesEnded.inc({ ending }, 0)
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
    leaseRequested(outcome, seconds, users) {
      leaseRequests.observe({ outcome }, seconds)
      leasedUsers.inc(users)
    },
    leasesEnded: (ending, count) => leasesEnded.inc({ ending }, count),
    lookedForExpired: (outcome) => looks.inc({ outcome }),
  }
}

/** The endpoint for Prometheus. */
export const metricsRoutes: FastifyPluginCallbackTypebox<{ metrics: Metrics }> = (app, { metrics }, done) => {
  const { registry } = metrics
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        tags: ['operations'],
        summary: 'Metrics of this process, for Prometheus',
        description: 'Needs no key, like `/livez`: it contains only numbers, and nothing about any user or pool.',
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
        problems: [],
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )
  done()
}
