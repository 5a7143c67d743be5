import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { idempotencyKey, strict, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { BatchResponse, BatchStatus } from './batch-schema.ts'
import { listBatches, readBatch } from './batches.ts'
import type { Dispatcher } from './dispatcher.ts'
import { cancelBatch, deleteBatch } from './end-batch.ts'
import { type BatchContext, batchBody, requestBatch } from './request-batch.ts'

interface BatchRoutesOptions extends BatchContext {
  dispatcher: Dispatcher
  cursors: Cursors
}

const BatchPath = Type.Object({ id: Uuid })

/** Bulk creation. A batch is accepted at once, created chunk by chunk in worker threads, and read and deleted as a whole. */
export const batchRoutes: FastifyPluginCallbackTypebox<BatchRoutesOptions> = (app, options, done) => {
  const { sql, dispatcher, cursors } = options
  const read = { scope: 'users:read' } as const
  const write = { scope: 'users:write' } as const
  const tags = ['batches']

  app.post(
    '/v1/batches',
    {
      config: { ...write, work: true },
      schema: {
        operationId: 'createBatch',
        tags,
        summary: 'Create users in bulk',
        description:
          'Returns 202 at once. With `Prefer: wait=N` (seconds, at most 60) returns 201 if the batch ends in time.',
        querystring: PoolQuery,
        headers: Type.Object({
          ...idempotencyKey,
          prefer: Type.Optional(Type.String({ description: '`wait=N`, seconds' })),
        }),
        responseHeaders: ['Preference-Applied'],
        body: batchBody(options.config),
        example: { count: 100, label: 'checkout test', config: { custom_attributes: { plan: 'gold' } } },
        response: { 201: BatchResponse, 202: BatchResponse },
        problems: [
          'pattern_invalid',
          'template_not_found',
          'population_exists',
          'pool_is_replica',
          'idempotency_key_reused',
          'domain_not_reserved',
        ],
      },
    },
    async (request, reply) => {
      const { body, apiKey } = request
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const key = request.headers['idempotency-key']
      const idempotency = key === undefined ? undefined : { owner: apiKey?.name ?? '', key }
      const id = await requestBatch(options, { pool: { id: poolId, name: pool }, body, idempotency })
      dispatcher.wake()

      const wait = preferredWait(request.headers.prefer)
      const deadline = Date.now() + wait * 1000
      let batch = await readBatch(sql, poolId, id)
      while (batch.finished_at === null && Date.now() < deadline && !isFutile(request)) {
        // Another replica may do the work without a notification here, so poll at least four times a second.
        await dispatcher.nextProgress(Math.min(250, deadline - Date.now()))
        batch = await readBatch(sql, poolId, id)
      }
      if (wait > 0) reply.header('preference-applied', `wait=${wait}`)
      return reply
        .code(wait > 0 && batch.finished_at !== null ? 201 : 202)
        .header('location', urlInPool(`/v1/batches/${id}`, pool))
        .send(batch)
    },
  )

  app.get(
    '/v1/batches',
    {
      config: read,
      schema: {
        operationId: 'listBatches',
        tags,
        summary: 'List batches, newest first',
        querystring: strict({ ...poolParam, ...pageParams, status: Type.Optional(BatchStatus) }),
        response: { 200: pageOf(BatchResponse) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, status } = request.query
      const poolId = await poolIdOf(sql, request)
      const listing = `batches ${poolId} ${status}`
      const before = cursors.decode(listing, cursor)
      const items = await listBatches(sql, poolId, { before, status }, limit)
      return makePage({ request, reply, cursors, listing }, items, (batch) => batch.id)
    },
  )

  app.get(
    '/v1/batches/:id',
    {
      config: read,
      schema: {
        operationId: 'getBatch',
        tags,
        summary: 'Read a batch',
        params: BatchPath,
        querystring: PoolQuery,
        response: { 200: BatchResponse },
        problems: ['batch_not_found'],
      },
    },
    async (request) => readBatch(sql, await poolIdOf(sql, request), request.params.id),
  )

  app.post(
    '/v1/batches/:id/cancel',
    {
      config: write,
      schema: {
        operationId: 'cancelBatch',
        tags,
        summary: 'Cancel a batch',
        description: 'No further chunk starts. The response waits for chunks in progress. Users that exist stay.',
        params: BatchPath,
        querystring: PoolQuery,
        response: { 200: BatchResponse },
        problems: ['batch_not_found'],
      },
    },
    async (request) => {
      const poolId = await poolIdOf(sql, request)
      await cancelBatch(sql, poolId, request.params.id)
      return readBatch(sql, poolId, request.params.id)
    },
  )

  app.delete(
    '/v1/batches/:id',
    {
      config: write,
      schema: {
        operationId: 'deleteBatch',
        tags,
        summary: 'Delete the test users of a batch',
        description:
          'Also deletes their passwords and the failures. Does not wait for leases: their holders hear of the deletion at the next renewal. The batch stays as a record.',
        params: BatchPath,
        querystring: PoolQuery,
        response: {
          200: Type.Object({ id: Type.String(), deleted_count: Type.Integer(), protected_count: Type.Integer() }),
        },
        problems: ['batch_not_found', 'pool_is_replica'],
      },
    },
    async (request) => {
      const poolId = await poolIdOf(sql, request)
      const counts = await deleteBatch(sql, poolId, request.params.id)
      return { id: request.params.id.toLowerCase(), deleted_count: counts.deleted, protected_count: counts.protected }
    },
  )

  /** Whether waiting is useless: the client is gone, or no further chunk starts here. */
  function isFutile(request: FastifyRequest): boolean {
    return request.socket.destroyed || dispatcher.draining()
  }

  done()
}

const MAX_WAIT_SECONDS = 60

/**
 * Returns the seconds of `Prefer: wait=N` (RFC 7240), at most 60. Returns 0 if the header is missing or invalid,
 * because a server may ignore preferences.
 */
export function preferredWait(header: string | string[] | undefined): number {
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?=$|[,;])/i.exec([header].flat().join(',')) ?? []
  return Math.min(MAX_WAIT_SECONDS, Number(seconds ?? 0))
}
