import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { Nullable, named, strict } from '../http/schemas.ts'
import { requireWritable } from '../pools/locks.ts'
import { PoolQuery, poolIdOf, poolParam } from '../pools/pool-parameter.ts'
import { BatchStatus } from './batch-schema.ts'
import { type Candidate, listCandidates } from './candidates.ts'
import { type ExpiryObserver, expireBatches } from './expiry.ts'

/** Maximum number of batches that one request removes. The client repeats the request while there are more. */
const BATCHES_A_REQUEST = 20

/** After this time a request starts no further batch. */
const REQUEST_MS = 30_000

export const CandidateResponse = named('ExpiredBatch', {
  batch_id: Type.String(),
  label: Nullable(Type.String()),
  status: BatchStatus,
  created_at: Type.String(),
  expires_at: Nullable(Type.String()),
  age_seconds: Type.Number(),
  user_count: Type.Integer({ description: 'Test users, which the removal deletes' }),
  protected_count: Type.Integer({ description: 'Users that are not test users. They stay.' }),
})

export const Report = named('ExpiryReport', {
  dry_run: Type.Boolean(),
  batches: Type.Array(
    Type.Object({ batch_id: Type.String(), deleted_count: Type.Integer(), protected_count: Type.Integer() }),
  ),
  deleted_count: Type.Integer(),
  protected_count: Type.Integer(),
  more: Type.Boolean({ description: 'Whether more batches have expired. If true, repeat the request.' }),
})

/** Lists and removes expired batches. The service also removes them itself, a few seconds after `expires_at`. */
export const lifecycleRoutes: FastifyPluginCallbackTypebox<{ sql: Sql; cursors: Cursors; observer: ExpiryObserver }> = (
  app,
  { sql, cursors, observer },
  done,
) => {
  const tags = ['lifecycle']

  app.get(
    '/v1/lifecycle/candidates',
    {
      config: { scope: 'users:read' },
      schema: {
        operationId: 'listExpiredBatches',
        tags,
        summary: 'List the batches that can be removed',
        description:
          'Batches past their `expires_at` or, with `age_days`, batches created at least that many days ago.',
        querystring: strict({
          ...poolParam,
          ...pageParams,
          age_days: Type.Optional(Type.Number({ minimum: 0, maximum: 36_500 })),
        }),
        response: { 200: pageOf(CandidateResponse) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, age_days: days } = request.query
      const poolId = await poolIdOf(sql, request)
      const listing = `candidates ${poolId} ${days}`
      const before = cursors.decode(listing, cursor)
      const olderThan = days === undefined ? undefined : days * 86_400
      const items = await listCandidates(sql, poolId, { olderThan, before, limit })
      return makePage({ request, reply, cursors, listing }, items, ({ batch_id }) => batch_id)
    },
  )

  app.post(
    '/v1/lifecycle/expire',
    {
      config: { scope: 'users:write' },
      schema: {
        operationId: 'expireBatches',
        tags,
        summary: 'Remove the users of expired batches',
        description: 'With `dry_run`, removes nothing and returns what it would remove.',
        querystring: PoolQuery,
        body: strict({ ...poolParam, dry_run: Type.Optional(Type.Boolean({ default: false })) }),
        example: { dry_run: true },
        response: { 200: Report },
        problems: ['pool_is_replica'],
      },
    },
    async (request) => {
      const { dry_run: isDryRun = false } = request.body
      const poolId = await poolIdOf(sql, request)
      await requireWritable(sql, poolId)
      const page = { olderThan: undefined, before: undefined, limit: BATCHES_A_REQUEST }
      const batches = isDryRun
        ? (await listCandidates(sql, poolId, page)).rows.map(wouldRemove)
        : await Array.fromAsync(
            expireBatches(sql, {
              poolId,
              limit: BATCHES_A_REQUEST,
              signal: AbortSignal.timeout(REQUEST_MS),
              log: request.log,
            }),
          )
      if (!isDryRun) observer.batchesExpired(batches.length)
      const left = await listCandidates(sql, poolId, page)
      return {
        dry_run: isDryRun,
        batches,
        deleted_count: sum(batches.map((batch) => batch.deleted_count)),
        protected_count: sum(batches.map((batch) => batch.protected_count)),
        more: isDryRun ? left.hasMore : left.rows.length > 0,
      }
    },
  )

  done()
}

const wouldRemove = ({ batch_id, user_count, protected_count }: Candidate) => ({
  batch_id,
  deleted_count: user_count,
  protected_count,
})

const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0)
