import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam } from '../pools/pool-parameter.ts'
import type { SyncScheduler } from '../sync/sync-scheduler.ts'
import { userNotFound } from '../users/users.ts'
import { endLease } from './end-leases.ts'
import { countResetting } from './finish-resets.ts'
import { selectionOf } from './lease-filter.ts'
import { HoldingItem, LeaseDetail, LeaseItem, ResetBody, ResetResponse, StatsResponse } from './lease-schema.ts'
import { listHoldings, listLeases, readLease } from './read-leases.ts'
import type { Leasing } from './request-lease.ts'
import { resetUsers } from './reset.ts'
import { LeasePath } from './routes.ts'

interface LeaseListingOptions {
  leasing: Leasing
  cursors: Cursors
  scheduler: SyncScheduler
}

/** Routes that show who has which users, and put them right. */
export const leaseListingRoutes: FastifyPluginCallbackTypebox<LeaseListingOptions> = (app, options, done) => {
  const { leasing, cursors, scheduler } = options
  const { sql, lines, counts, observer } = leasing
  const lease = { scope: 'users:lease' } as const
  const tags = ['leases']

  app.get(
    '/v1/leases',
    {
      config: lease,
      schema: {
        operationId: 'listLeases',
        tags,
        summary: 'List leases, newest first',
        querystring: strict({
          ...poolParam,
          ...pageParams,
          active: Type.Optional(Type.Boolean({ default: false, description: '`true`: only leases that are not over' })),
        }),
        response: { 200: pageOf(LeaseItem) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, active: isActive = false } = request.query
      const poolId = await poolIdOf(sql, request)
      const listing = `leases ${poolId} ${isActive}`
      const page = await listLeases(sql, poolId, { isActive, before: cursors.decode(listing, cursor) }, limit)
      return makePage({ request, reply, cursors, listing }, page, ({ id }) => id)
    },
  )

  app.get(
    '/v1/leases/stats',
    {
      config: lease,
      schema: {
        operationId: 'getLeaseStats',
        tags,
        summary: 'Count the users of a pool by what can be done with them',
        description: 'With `batch_id`, `free`, `leased`, `dirty` and `consumed` count the users of that batch only.',
        querystring: strict({ ...poolParam, batch_id: Type.Optional(Uuid) }),
        response: { 200: StatsResponse },
        problems: [],
      },
    },
    async (request) => {
      const pool = poolOf(request)
      const poolId = await poolIdOf(sql, request)
      const selection = selectionOf(pool, request.query, 'querystring')
      const [found, resetting] = await Promise.all([counts(poolId, selection), countResetting(sql, poolId)])
      return { ...found, resetting, waiting: lines.waiting(pool) }
    },
  )

  app.get(
    '/v1/leases/:id',
    {
      config: lease,
      schema: {
        operationId: 'getLease',
        tags,
        summary: 'Read a lease',
        params: LeasePath,
        querystring: PoolQuery,
        response: { 200: LeaseDetail },
        problems: ['lease_not_found'],
      },
    },
    async (request) => readLease(sql, await poolIdOf(sql, request), request.params.id),
  )

  app.delete(
    '/v1/leases/:id',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'deleteLease',
        tags,
        summary: 'End a lease by force',
        description: 'Its users are free again, although its holder may still use them.',
        params: LeasePath,
        querystring: PoolQuery,
        response: { 204: Type.Null() },
        problems: ['lease_not_found'],
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const pool = poolOf(request)
      await readLease(sql, await poolIdOf(sql, request), id)
      if (await endLease(sql, { pool, id }, 'forced')) observer.leasesEnded('forced', 1)
      lines.wake(pool)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/v1/leases/reset',
    {
      config: lease,
      schema: {
        operationId: 'resetUsers',
        tags,
        summary: 'Free dirty and consumed users',
        description:
          'Without a filter: all of the pool. Users that sinks have are free only after these have written them again, with password and attributes; this queues runs of the sinks. A user that a sink refuses stays as it is. May be repeated.',
        querystring: PoolQuery,
        body: ResetBody,
        example: { filter: { role: 'user' } },
        response: { 200: ResetResponse },
        problems: [],
      },
    },
    async (request) => {
      const pool = poolOf(request)
      const selection = selectionOf(pool, request.body.filter)
      const { freed, waiting, targets } = await resetUsers(sql, await poolIdOf(sql, request), selection)
      lines.wake(pool)
      if (waiting > 0) scheduler.wake()
      return { freed_count: freed, waiting_count: waiting, targets }
    },
  )

  app.get(
    '/v1/users/:id/leases',
    {
      config: { scope: 'users:read' },
      schema: {
        operationId: 'listUserLeases',
        tags,
        summary: 'List the leases of a user, newest first',
        description: 'Leases are kept for AUDIT_RETENTION after their end.',
        params: LeasePath,
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(HoldingItem) },
        problems: ['user_not_found'],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const poolId = await poolIdOf(sql, request)
      const userId = request.params.id.toLowerCase()
      const listing = `leases of ${poolId} ${userId}`
      const page = await listHoldings(sql, poolId, userId, cursors.decode(listing, cursor), limit)
      if (!page) throw userNotFound()
      return makePage({ request, reply, cursors, listing }, page, ({ lease_id }) => lease_id)
    },
  )

  done()
}
