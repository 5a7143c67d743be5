import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from './batches.ts'

const LOOK_MS = 250

/** Proxies close an idle stream after 30 to 60 s. */
const HEARTBEAT_MS = 15_000

/** A stream ends after this time. The client then reconnects with `Last-Event-ID`. */
const MAX_DURATION_MS = 600_000

interface Watching {
  read: () => Promise<Batch>
  /** Whether the server is shutting down. */
  draining: () => boolean
}

/**
 * Streams a batch's progress as server-sent events (HTML, section 9.2): `progress` whenever the counts change, then one
 * `end`. The data is the batch. The id of an event is the number of completed hashes and users. A client that reconnects with
 * `Last-Event-ID` receives only newer progress, and always the end.
 */
export async function* batchEvents(
  { read, draining }: Watching,
  lastEventId: number,
): AsyncGenerator<string, void, void> {
  const done = (batch: Batch) => (batch.hashed_count ?? 0) + batch.created_count + batch.failed_count
  const write = (event: string, batch: Batch) =>
    `event: ${event}\nid: ${done(batch)}\ndata: ${JSON.stringify(batch)}\n\n`
  const deadline = Date.now() + MAX_DURATION_MS
  let lastSentCount = lastEventId
  let toldAt = Date.now()
  yield 'retry: 1000\n\n'
  while (Date.now() < deadline && !draining()) {
    const batch = await read()
    if (batch.finished_at !== null) {
      yield write('end', batch)
      return
    }
    if (done(batch) !== lastSentCount) {
      yield write('progress', batch)
      lastSentCount = done(batch)
      toldAt = Date.now()
    } else if (Date.now() - toldAt > HEARTBEAT_MS) {
      yield ':\n\n'
      toldAt = Date.now()
    }
    await sleep(LOOK_MS)
  }
}
