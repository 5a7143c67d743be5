import { ROOT_CONTEXT, SpanStatusCode, type Tracer } from '@opentelemetry/api'
import type { ChunkOutcome } from '../batches/chunks.ts'
import type { TraceIds } from './trace-ids.ts'

/**
 * A span of the work on a chunk, begun at `begun` by `performance.now()` and ended now. The trace's id is the batch's, so that
 * the chunks of all replicas meet in one trace, which needs nothing kept in the database.
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
