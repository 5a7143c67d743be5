import { defaultTextMapSetter, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import type { Outcome } from '../sync/sync-runs.ts'
import { outgoingHeaders } from './outgoing-headers.ts'

const propagator = new W3CTraceContextPropagator()

/** Runs a push as the root of a trace, which the requests to its target carry along. Throws what the push throws. */
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
  let failure: string | null = '_OTHER' // the conventions' word for an error without a name: it was called off, or met a fault of ours
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
