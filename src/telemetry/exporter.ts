import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { FastifyBaseLogger } from 'fastify'

/** All attempts at sending one batch of spans. */
const DEADLINE_MS = 5_000

const QUIET_MS = 600_000

/**
 * Sends spans to the collector whose base URL this is, as OTLP in JSON over HTTP. Headers are those of the environment
 * (`OTEL_EXPORTER_OTLP_HEADERS`). Spans that cannot be sent are lost, which is logged once in ten minutes at the most.
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
    log.warn({ lost, reason: reasonOf(error) }, 'spans could not be sent to the collector')
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

/** As the OTLP specification makes it of a base URL; a query, which may be a token, stays behind. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return url.href
}

/** A status, a code of Node's, or the exporter's own words; a collector's words may repeat what was sent to it. */
const reasonOf = (error: Error | undefined) => (error as { code?: number | string } | undefined)?.code ?? error?.message
