import type { Connection } from './connection.ts'
import type { components, operations } from './description.ts'
import { UsersyncError } from './errors.ts'
import { eventsOf } from './lines.ts'
import type { CallOptions } from './operation-types.ts'
import { itemsOf } from './pages.ts'
import type { Request } from './request.ts'
import { sleep } from './signals.ts'

export type Batch = components['schemas']['Batch']
export type NewBatch = components['schemas']['NewBatch']

interface CreateOptions extends CallOptions {
  /** Wait for the end of the batch, up to 60 s. Longer ones: `watch` or `finished`. */
  waitSeconds?: number
  /** Names the request: a repetition with the same key and body, also by another process, returns the same batch. Default: random. */
  idempotencyKey?: string
}

/** Pause between reads of a batch whose events cannot be had, and before a broken stream is opened again. */
const POLL_MS = 1_000

/** A deletion of a million users takes about 25 s. */
const DELETION_MS = 3_600_000

/** Creation of users in bulk. */
export class Batches {
  readonly #connection: Connection
  readonly #request: Request

  constructor(connection: Connection, request: Request) {
    this.#connection = connection
    this.#request = request
  }

  /** Creates a batch. It may still be running when this returns. Safe to retry, because of its Idempotency-Key. */
  create(body: NewBatch, { waitSeconds = 0, idempotencyKey, ...options }: CreateOptions = {}): Promise<Batch> {
    const headers = {
      ...(waitSeconds > 0 && { prefer: `wait=${waitSeconds}` }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    }
    const timeoutMs = (options.timeoutMs ?? this.#connection.timeoutMs) + waitSeconds * 1000
    return this.#request('createBatch', { ...options, timeoutMs, headers, body })
  }

  /** The first users that a batch would create, and the faults of its settings. Creates nothing. */
  preview(body: NewBatch, options: CallOptions = {}) {
    return this.#request('previewBatch', { ...options, body })
  }

  get(id: string, options: CallOptions = {}): Promise<Batch> {
    return this.#request('getBatch', { ...options, path: { id } })
  }

  /** All batches of the pool, newest first. */
  list(query: operations['listBatches']['parameters']['query'] = {}, options: CallOptions = {}) {
    return itemsOf((cursor) =>
      this.#request('listBatches', { ...options, query: { limit: 1000, ...query, ...cursor } }),
    )
  }

  /** The users that could not be created. */
  failures(id: string, options: CallOptions = {}) {
    const read = (cursor: { cursor?: string }) =>
      this.#request('listBatchFailures', { ...options, path: { id }, query: { limit: 1000, ...cursor } })
    return itemsOf(read)
  }

  /** Stops a batch; what it has created remains. May be repeated. */
  cancel(id: string, options: CallOptions = {}): Promise<Batch> {
    return this.#request('cancelBatch', { ...options, path: { id } })
  }

  /** Deletes the users of a batch. May be repeated. */
  delete(id: string, options: CallOptions = {}) {
    const patience = { timeoutMs: DELETION_MS, deadlineMs: DELETION_MS }
    return this.#request('deleteBatch', { ...patience, ...options, path: { id } })
  }

  /**
   * Yields a batch whenever its counts have changed, and at its end. Uses server-sent events, and reads the batch itself where it gets
   * none: all streams of the service are in use, or a proxy keeps them back. `attempts` and `deadlineMs` apply to each request.
   */
  async *watch(id: string, options: CallOptions = {}): AsyncGenerator<Batch, void, void> {
    const call = { ...options, path: { id } }
    let lastEventId: string | undefined
    let streams = true
    let last = ''
    for (;;) {
      if (streams) {
        streams = false // a stream without events is one that a proxy keeps back
        try {
          for await (const { name, id: eventId, batch } of this.#events(call, lastEventId)) {
            streams = true
            lastEventId = eventId
            yield batch
            if (name === 'end') return
          }
        } catch (error) {
          if (!(error instanceof UsersyncError) || !(error.isRetryable || error.code === 'not_usersync')) throw error
        }
      } else {
        const batch = await this.get(id, options)
        const text = JSON.stringify(batch)
        if (text !== last) yield batch
        last = text
        if (batch.finished_at !== null) return
      }
      await sleep(POLL_MS, options.signal)
    }
  }

  /** Waits for the end of a batch and returns it. It may have failed: see its `status`. */
  async finished(id: string, options: CallOptions = {}): Promise<Batch> {
    let last: Batch | undefined
    for await (const batch of this.watch(id, options)) last = batch
    return last ?? (await this.get(id, options))
  }

  /** A stream that breaks is not an error: `watch` opens the next one with the last event's id. */
  async *#events(call: CallOptions & { path: { id: string } }, lastEventId: string | undefined) {
    const headers = { accept: 'text/event-stream', 'last-event-id': lastEventId }
    const answer = await this.#connection.open('streamBatchEvents', { ...call, headers })
    if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) {
      answer.end()
      throw new UsersyncError('not_usersync', 'The events of the batch are no events: a proxy answers for the service.')
    }
    try {
      for await (const { name, id, data } of eventsOf(answer.texts())) {
        yield { name, id, batch: JSON.parse(data) as Batch }
      }
    } catch (error) {
      if (!(error instanceof UsersyncError) || !error.isRetryable) throw error
    }
  }
}
