import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace'

/** Ids at random, as OpenTelemetry has them, unless a trace is to have a certain one. */
export interface TraceIds extends IdGenerator {
  /** The trace of the root span that `begin` starts gets this id. */
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
