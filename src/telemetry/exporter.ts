import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { FastifyBaseLogger } from 'fastify'

/** Deadline of all attempts to send one batch of spans. */
const DEADLINE_MS = 5_000

const QUIET_MS = 600_000

/**
 * Sends spans to the collector with this base URL, as OTLP in JSON over HTTP. The headers come from the environment
 * (`OTEL_EXPORTER_OTLP_HEADERS`). Spans that cannot be sent are lost, which is logged at most once in ten minutes.
 */
export function createExporter(endpoint: string, log: FastifyBaseLogger): SpanExporter {
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

/** Appends the path as the OTLP specification says. Drops the query, which may contain a token. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return url.href
}

/** A status, a Node error code, or the exporter's own message. A collector's message may repeat what was sent to it. */
const reasonOf = (error: Error | undefined) => (error as { code?: number | string } | undefined)?.code ?? error?.message
