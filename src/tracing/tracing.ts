import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { ChunkOutcome } from '../batches/chunks.ts'
import type { Outcome } from '../sync/sync-runs.ts'
import { chunkSpan } from './chunk-span.ts'
import { createExporter } from './exporter.ts'
import { pushSpan } from './push-span.ts'
import { requestSpans } from './request-spans.ts'
import { createTraceIds } from './trace-ids.ts'

/** Traces of requests, chunks and pushes. They tell no user, password, key or SQL. */
export interface Tracing {
  /** Traces the requests of this Fastify. */
  traceRequests(app: FastifyInstance): Promise<void>
  /** Work on a chunk has ended that began at `begun`, by `performance.now()`. */
  chunkEnded(batchId: string, result: ChunkOutcome, begun: number): void
  /** Runs a push, and gives or throws what comes of it. */
  push(run: { id: string }, target: { name: string; url: string }, push: () => Promise<Outcome>): Promise<Outcome>
  /** Sends what is left, which may take 5 s where the collector is silent. */
  stop(): Promise<void>
}

/**
 * Begins to trace, to the collector whose base URL `endpoint` is. The provider is no global one: several services may run in
 * a process, and no other package traces on its own.
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
    // Spans for which the queue has no room are dropped.
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: 4_096,
        scheduledDelayMillis: 1_000,
        exportTimeoutMillis: 10_000,
      }),
    ],
  })
  const tracer = provider.getTracer('usersync')
  return {
    traceRequests: async (app) => void (await app.register(requestSpans, { tracer })),
    chunkEnded: (batchId, result, begun) => chunkSpan(tracer, ids, { batchId, result, begun }),
    push: (run, target, push) => pushSpan(tracer, { run, target }, push),
    stop: () => provider.shutdown().catch(() => {}), // the exporter has logged it
  }
}
