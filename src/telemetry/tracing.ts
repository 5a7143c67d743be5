import { defaultTextMapSetter, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { type ExportResult, ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  type IdGenerator,
  RandomIdGenerator,
  type SpanExporter,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { ChunkOutcome } from '../batches/chunks.ts'
import { outgoingHeaders } from '../client/peer.ts'
import type { Outcome } from '../sync/sync-runs.ts'
import { requestSpans } from './request-spans.ts'

/** Traces of requests, chunks and pushes. They contain no user, password, key or SQL. */
export interface Tracing {
  /** Traces the requests of this Fastify instance. */
  traceRequests(app: FastifyInstance): Promise<void>
  /** Records a chunk that began at `begun`, by `performance.now()`, and has ended now. */
  chunkEnded(batchId: string, result: ChunkOutcome, begun: number): void
  /** Runs a push, and returns or throws what the push does. */
  push(run: { id: string }, target: { name: string; url: string }, push: () => Promise<Outcome>): Promise<Outcome>
  /** Sends the remaining spans, which may take 5 s if the collector does not respond. */
  stop(): Promise<void>
}

/**
 * Starts tracing to the collector with the base URL `endpoint`. The provider is not global: several services may run in one process,
 * and no other package creates spans.
 */
export function startTracing(endpoint: string, log: FastifyBaseLogger): Tracing {
  const ids = createTraceIds()
  const exporter = createExporter(endpoint, log)
  const detectors = [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector]
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'usersync' }))
      .merge(detectResources({ detectors })),
    idGenerator: ids,
    spanLimits: { attributeValueLengthLimit: 1_024 },
    // Spans are dropped if the queue is full.
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: 4_096,
        // The variable is OpenTelemetry's own; its default of 5 s is long for a person who waits for a trace.
        scheduledDelayMillis: Number(process.env['OTEL_BSP_SCHEDULE_DELAY']) || 1_000,
        exportTimeoutMillis: 10_000,
      }),
    ],
  })
  const tracer = provider.getTracer('usersync')
  return {
    traceRequests: async (app) => void (await app.register(requestSpans, { tracer })),
    chunkEnded: (batchId, result, begun) => chunkSpan(tracer, ids, { batchId, result, begun }),
    push: (run, target, push) => pushSpan(tracer, { run, target }, push),
    stop: () => provider.shutdown().catch(() => {}), // already logged by the exporter
  }
}

/**
 * Creates a span for a chunk, from `begun` (by `performance.now()`) until now. The trace id is the batch id, so that the chunks of
 * all replicas join one trace without stored state.
 */
function chunkSpan(
  tracer: Tracer,
  ids: TraceIds,
  { batchId, result, begun }: { batchId: string; result: ChunkOutcome; begun: number },
): void {
  if (result.outcome === 'none') return
  const now = Date.now()
  const startTime = now - (performance.now() - begun)
  const attributes = { 'usersync.batch.id': batchId }
  const span = ids.under(batchId.replaceAll('-', ''), () =>
    tracer.startSpan('chunk', { startTime, attributes }, ROOT_CONTEXT),
  )
  if (result.outcome === 'done') {
    span.setAttributes({
      'usersync.chunk.kind': result.kind,
      'usersync.chunk.first_n': result.first_n,
      'usersync.chunk.created': result.created,
      'usersync.chunk.failed': result.failed,
    })
  } else {
    span.setAttribute('error.type', result.outcome).setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end(now)
}

const propagator = new W3CTraceContextPropagator()

/** Runs a push as the root span of a trace, which the requests to its target propagate. Throws what the push throws. */
async function pushSpan(
  tracer: Tracer,
  { run, target }: { run: { id: string }; target: { name: string; url: string } },
  push: () => Promise<Outcome>,
): Promise<Outcome> {
  const span = tracer.startSpan(
    'push',
    {
      kind: SpanKind.CLIENT,
      attributes: {
        'server.address': new URL(target.url).hostname,
        'usersync.sync.run.id': run.id,
        'usersync.sync.target': target.name,
      },
    },
    ROOT_CONTEXT,
  )
  const headers = {}
  propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter)
  let failure: string | null = '_OTHER' // the conventions' value for other errors: aborted, or an internal error
  try {
    const outcome = await outgoingHeaders.run(headers, push)
    failure = outcome.failure
    span.setAttributes({
      'usersync.sync.kind': outcome.kind ?? undefined,
      'usersync.sync.attempts': outcome.attempts,
      'usersync.sync.sent_bytes': outcome.sent_bytes,
    })
    return outcome
  } finally {
    if (failure !== null) span.setAttribute('error.type', failure).setStatus({ code: SpanStatusCode.ERROR })
    span.end()
  }
}

/** Random ids, like OpenTelemetry's own, unless the caller sets the trace id. */
interface TraceIds extends IdGenerator {
  /** The root span that `begin` starts gets this trace id. */
  under<Span>(traceId: string, begin: () => Span): Span
}

function createTraceIds(): TraceIds {
  const random = new RandomIdGenerator()
  let given: string | undefined
  return {
    generateSpanId: () => random.generateSpanId(),
    generateTraceId: () => given ?? random.generateTraceId(),
    under(traceId, begin) {
      given = traceId
      try {
        return begin()
      } finally {
        given = undefined
      }
    },
  }
}

/** Deadline of all attempts to send one batch of spans. */
const DEADLINE_MS = 5_000

const QUIET_MS = 600_000

/**
 * Sends spans to the collector with this base URL, as OTLP in JSON over HTTP. The headers come from the environment
 * (`OTEL_EXPORTER_OTLP_HEADERS`). Spans that cannot be sent are lost, which is logged at most once in ten minutes.
 */
function createExporter(endpoint: string, log: FastifyBaseLogger): SpanExporter {
  const exporter = new OTLPTraceExporter({ url: tracesUrl(endpoint), timeoutMillis: DEADLINE_MS, concurrencyLimit: 4 })
  let lost = 0
  let quietUntil = 0

  function note(spans: number, { code, error }: ExportResult): void {
    if (code === ExportResultCode.SUCCESS) return
    lost += spans
    if (performance.now() < quietUntil) return
    quietUntil = performance.now() + QUIET_MS
    log.warn({ lost, reason: reasonOf(error) }, 'spans not sent to the collector')
    lost = 0
  }

  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        note(spans.length, result)
        done(result)
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  }
}

/** Appends the path as the OTLP specification says. The query stays. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return url.href
}

/** A status, a Node error code, or the exporter's own message. A collector's message may repeat what was sent to it. */
const reasonOf = (error: Error | undefined) => (error as { code?: number | string } | undefined)?.code ?? error?.message
