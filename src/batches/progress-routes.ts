import { Readable } from 'node:stream'
import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { retryLater } from '../errors.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolParam } from '../pools/pool-parameter.ts'
import { readBatch } from './batches.ts'
import type { Dispatcher } from './dispatcher.ts'
import { batchEvents } from './events.ts'
import { Failure, listFailures } from './failures.ts'

const MAX_WAIT_SECONDS = 60

/**
 * Returns the seconds of `Prefer: wait=N` (RFC 7240), at most 60. Returns 0 if the header is missing or invalid,
 * because a server may ignore preferences.
 */
export function preferredWait(header: string | string[] | undefined): number {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?=$|[,;])/i.exec([header].flat().join(',')) ?? []
  return Math.min(MAX_WAIT_SECONDS, Number(seconds ?? 0))
}

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
        tags,
        summary: 'Follow a batch',
        description: 'Server-sent events: `progress` while the batch runs, then `end`. Resumable with `Last-Event-ID`.',
        params: BatchPath,
        querystring: PoolQuery,
        headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ pattern: '^\\d{1,10}$' })) }),
      },
    },
    async (request, reply) => {
      const poolId = await poolIdOf(sql, request)
      const read = () => readBatch(sql, poolId, request.params.id)
      await read() // an unknown batch is a 404, not a broken stream
      if (request.method === 'HEAD') return asEvents(reply).send(Readable.from([])) // a stream, because Fastify would set content-length 0
      const lastEventId = Number(request.headers['last-event-id'] ?? -1)
      if (streams >= MAX_STREAMS)
        throw retryLater('overloaded', 'All event streams are in use. Read the batch itself, or retry.', 5)
      streams++
      const events = batchEvents({ read, draining: dispatcher.draining }, lastEventId)
      const stream = Readable.from(events, { objectMode: false }).once('close', () => streams--)
      return asEvents(reply).send(stream)
    },
  )

  app.get(
    '/v1/batches/:id/failures',
    {
      config,
      schema: {
        tags,
        summary: 'List the users of a batch that could not be created',
        params: BatchPath,
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(Failure) },
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
