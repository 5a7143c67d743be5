import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

interface Test {
  teardown(fn: () => void): void
}

/** A span as a collector receives it, with its attributes by name. */
export interface CollectedSpan {
  service: string
  name: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  /** 2: error. */
  status: { code: number }
  attributes: Record<string, unknown>
}

/** A collector that keeps what it receives. */
export interface Collector {
  /** The value for OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string
  spans: CollectedSpan[]
  requests: { path: string; headers: IncomingMessage['headers'] }[]
  /** All bodies, unparsed. */
  received: string
  /** Replaces its normal response. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** Waits for `count` matching spans, at most 20 s, and returns those found. */
  find(matches: (span: CollectedSpan) => boolean, count?: number): Promise<CollectedSpan[]>
}

export const SERVER = 2
export const CLIENT = 3

export async function startCollector(t: Test): Promise<Collector> {
  const collector: Collector = { url: '', spans: [], requests: [], received: '', answer: undefined, find }
  const server = createServer(async (request, response) => {
    collector.requests.push({ path: request.url ?? '', headers: request.headers })
    if (collector.answer) return collector.answer(request, response)
    const body = await text(request)
    collector.received += body
    collector.spans.push(...spansOf(JSON.parse(body)))
    response.setHeader('content-type', 'application/json').end('{}')
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })

  async function find(matches: (span: CollectedSpan) => boolean, count = 1): Promise<CollectedSpan[]> {
    for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
      const found = collector.spans.filter(matches)
      if (found.length >= count || Date.now() > deadline) return found
    }
  }
  return Object.assign(collector, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

type Attribute = { key: string; value: { stringValue?: string; intValue?: number; arrayValue?: { values: unknown[] } } }
type SentSpan = Omit<CollectedSpan, 'attributes' | 'service'> & { attributes: Attribute[] }

/** ExportTraceServiceRequest of OTLP 1, in JSON. */
interface ExportRequest {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: SentSpan[] }[] }[]
}

function spansOf({ resourceSpans }: ExportRequest): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(byName(resource.attributes)['service.name'])
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({ ...span, service, attributes: byName(span.attributes) })),
    )
  })
}

const byName = (attributes: Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.arrayValue]))
