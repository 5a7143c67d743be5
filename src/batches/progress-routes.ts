import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { retryLater } from '../errors.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { sendWithoutBody } from '../http/replies.ts'
import { strict, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolParam } from '../pools/pool-parameter.ts'
import { type Batch, readBatch } from './batches.ts'
import type { Dispatcher } from './dispatcher.ts'
import { Failure, listFailures } from './failures.ts'

const BatchPath = Type.Object({ id: Uuid })

/** Maximum number of open event streams. Each reads its batch four times a second. */
const MAX_STREAMS = 100

const asEvents = (reply: FastifyReply) =>
  reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no')

/** Streams the progress of a batch, and lists the users that could not be created. */
export const batchProgressRoutes: FastifyPluginCallbackTypebox<{
  sql: Sql
  dispatcher: Dispatcher
  cursors: Cursors
}> = (app, { sql, dispatcher, cursors }, done) => {
  const config = { scope: 'users:read' } as const
  const tags = ['batches']
  let streams = 0

  app.get(
    '/v1/batches/:id/events',
    {
      config,
      schema: {
        operationId: 'streamBatchEvents',
        tags,
        summary: 'Follow a batch',
        description: 'Server-sent events: `progress` while the batch runs, then `end`. Resumable with `Last-Event-ID`.',
        params: BatchPath,
        querystring: PoolQuery,
        response: {
          200: {
            content: {
              'text/event-stream': {
                schema: Type.String({ description: 'Events `progress` and, once, `end`; their data is the batch' }),
              },
            },
          },
        },
        responseHeaders: ['Cache-Control'],
        headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ pattern: '^\\d{1,10}$' })) }),
        problems: ['batch_not_found'],
      },
    },
    async (request, reply) => {
      const poolId = await poolIdOf(sql, request)
      const read = () => readBatch(sql, poolId, request.params.id)
      await read() // an unknown batch is a 404, not a broken stream
      if (request.method === 'HEAD') return sendWithoutBody(asEvents(reply))
      const lastEventId = Number(request.headers['last-event-id'] ?? -1)
      if (streams >= MAX_STREAMS)
        throw retryLater('overloaded', 'All event streams are in use. Read the batch itself, or retry.', 5)
      streams++
      // A client that has left must free its place at the next look, not at the next event, which may be 15 s away.
      const ended = () => dispatcher.draining() || stream.destroyed
      const stream: Readable = Readable.from(batchEvents({ read, ended }, lastEventId), { objectMode: false })
      stream.once('close', () => streams--)
      return asEvents(reply).send(stream)
    },
  )

  app.get(
    '/v1/batches/:id/failures',
    {
      config,
      schema: {
        operationId: 'listBatchFailures',
        tags,
        summary: 'List the users of a batch that could not be created',
        params: BatchPath,
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(Failure) },
        problems: ['batch_not_found'],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const { id } = request.params
      const poolId = await poolIdOf(sql, request)
      const listing = `failures ${poolId} ${id}`
      const after = Number(cursors.decode(listing, cursor) ?? 0)
      const items = await listFailures(sql, poolId, id, after, limit)
      return makePage({ request, reply, cursors, listing }, items, ({ n }) => String(n))
    },
  )

  done()
}

const LOOK_MS = 250

/** Proxies close an idle stream after 30 to 60 s. */
const HEARTBEAT_MS = 15_000

/** A stream ends after this time. The client then reconnects with `Last-Event-ID`. */
const MAX_DURATION_MS = 600_000

interface Watching {
  read: () => Promise<Batch>
  /** Whether the server is shutting down or the client has left. */
  ended: () => boolean
}

/**
 * Streams a batch's progress as server-sent events (HTML, section 9.2): `progress` whenever the counts change, then one
 * `end`. The data is the batch. The id of an event is the number of completed hashes and users. A client that reconnects with
 * `Last-Event-ID` receives only newer progress, and always the end.
 */
async function* batchEvents({ read, ended }: Watching, lastEventId: number): AsyncGenerator<string, void, void> {
  const done = (batch: Batch) => (batch.hashed_count ?? 0) + batch.created_count + batch.failed_count
  const write = (event: string, batch: Batch) =>
    `event: ${event}\nid: ${done(batch)}\ndata: ${JSON.stringify(batch)}\n\n`
  const deadline = Date.now() + MAX_DURATION_MS
  let lastSentCount = lastEventId
  let lastSentAt = Date.now()
  yield 'retry: 1000\n\n'
  while (Date.now() < deadline && !ended()) {
    const batch = await read()
    if (batch.finished_at !== null) {
      yield write('end', batch)
      return
    }
    if (done(batch) !== lastSentCount) {
      yield write('progress', batch)
      lastSentCount = done(batch)
      lastSentAt = Date.now()
    } else if (Date.now() - lastSentAt > HEARTBEAT_MS) {
      yield ':\n\n'
      lastSentAt = Date.now()
    }
    await sleep(LOOK_MS)
  }
}
