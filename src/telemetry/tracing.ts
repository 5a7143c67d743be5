import { defaultTextMapSetter, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources'
import { BatchSpanProcessor, type IdGenerator, RandomIdGenerator, TracerProvider } from '@opentelemetry/sdk-trace'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { ChunkOutcome } from '../batches/chunks.ts'
import { outgoingHeaders } from '../client/peer.ts'
import type { Outcome } from '../sync/sync-runs.ts'
import { createExporter } from './exporter.ts'
import { requestSpans } from './request-spans.ts'

/** Random ids, like OpenTelemetry's own, unless the caller sets the trace id. */
export interface TraceIds extends IdGenerator {
  /** The root span that `begin` starts gets this trace id. */
  under<Span>(traceId: string, begin: () => Span): Span
}

export function createTraceIds(): TraceIds {
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

/**
 * Creates a span for a chunk, from `begun` (by `performance.now()`) until now. The trace id is the batch id, so that the chunks of
 * all replicas join one trace without stored state.
 */
export function chunkSpan(
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
export async function pushSpan(
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
