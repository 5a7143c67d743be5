import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { invalidRequest } from '../errors.ts'
import { sendJsonText } from '../http/replies.ts'
import { idempotencyKey, Uuid } from '../http/schemas.ts'
import { PoolQuery, poolOf, urlInPool } from '../pools/pool-parameter.ts'
import { type LeaseName, returnLease } from './end-leases.ts'
import { selectionOf } from './lease-filter.ts'
import {
  DEFAULT_TTL_SECONDS,
  LeaseBody,
  LeaseResponse,
  RenewBody,
  RenewResponse,
  ReturnBody,
  ReturnResponse,
} from './lease-schema.ts'
import { renewLease } from './renew.ts'
import { type Leasing, requestLease } from './request-lease.ts'
import { returnUsers } from './return-users.ts'

export const LeasePath = Type.Object({ id: Uuid })

/** Routes for the holders of leases. The journal of leases is their audit trail; see listing-routes.ts. */
export const leaseRoutes: FastifyPluginCallbackTypebox<{ leasing: Leasing }> = (app, { leasing }, done) => {
  const { sql, lines, observer } = leasing
  const config = { scope: 'users:lease', hasJournal: true } as const
  const tags = ['leases']

  app.post(
    '/v1/leases',
    {
      config,
      schema: {
        operationId: 'createLease',
        tags,
        summary: 'Lease users',
        description:
          'Grants users that nobody else has, until `expires_at`. If too few are free: 409 `users_exhausted`, after `wait_seconds`. A repetition with the same `Idempotency-Key` and body returns the same lease.',
        querystring: PoolQuery,
        headers: Type.Object(idempotencyKey),
        body: LeaseBody,
        example: { count: 2, owner: 'checkout test', ttl_seconds: 300 },
        response: { 201: LeaseResponse },
        problems: ['lease_lost', 'users_exhausted', 'idempotency_key_reused', 'lease_too_large', 'shutting_down'],
      },
    },
    async (request, reply) => {
      const { body, apiKey } = request
      const { count = 1, owner = '', ttl_seconds = DEFAULT_TTL_SECONDS, order = 'least_used', include = [] } = body
      if (include.length > 0) requireScope(request, 'credentials:read', 'include')
      const pool = poolOf(request)
      const lease = await requestLease(
        leasing,
        {
          selection: { ...selectionOf(pool, body.filter), order },
          ...{ count, owner, include, partial: body.partial ?? false },
          ttlSeconds: ttl_seconds,
          waitSeconds: body.wait_seconds ?? 0,
          apiKey: apiKey?.name ?? null,
          key: request.headers['idempotency-key'],
        },
        leftSignal(reply),
      )
      const { id, fence, expires_at, users } = lease
      reply
        .code(201)
        .header('location', urlInPool(`/v1/leases/${id}`, pool))
        .header('cache-control', 'no-store')
      return sendJsonText(reply, `{"id":"${id}","fence":${fence},"expires_at":"${expires_at}","users":[${users}]}`)
    },
  )

  app.post(
    '/v1/leases/:id/renew',
    {
      config,
      schema: {
        operationId: 'renewLease',
        tags,
        summary: 'Renew a lease',
        description: 'It ends `ttl_seconds` from now. If it is over: 409 `lease_lost`.',
        params: LeasePath,
        querystring: PoolQuery,
        body: RenewBody,
        example: { fence: 1, ttl_seconds: 300 },
        response: { 200: RenewResponse },
        problems: ['lease_lost'],
      },
    },
    async (request, reply) => {
      const { fence, ttl_seconds = DEFAULT_TTL_SECONDS } = request.body
      const renewed = await renewLease(sql, nameOf(request.params.id, fence, poolOf(request)), ttl_seconds)
      const { changed, ...rest } = renewed
      return sendJsonText(reply, `${JSON.stringify(rest).slice(0, -1)},"changed":[${changed.join(',')}]}`)
    },
  )

  app.post(
    '/v1/leases/:id/return',
    {
      config,
      schema: {
        operationId: 'returnLease',
        tags,
        summary: 'Return the users of a lease',
        description:
          '`clean` users are free again. `dirty` and `consumed` users are leased to nobody before `POST /v1/leases/reset`. May be repeated. If the lease is over: 409 `lease_lost`.',
        params: LeasePath,
        querystring: PoolQuery,
        body: ReturnBody,
        example: { fence: 1, outcome: 'clean' },
        response: { 200: ReturnResponse },
        problems: ['lease_lost'],
      },
    },
    async (request) => {
      const { fence, outcome, users } = request.body
      const pool = poolOf(request)
      const lease = nameOf(request.params.id, fence, pool)
      if ((outcome === undefined) === (users === undefined)) {
        throw invalidRequest([{ path: 'body', code: 'contradiction', message: 'has either outcome or users' }])
      }
      const rest = users
        ? await returnUsers(sql, lease, users)
        : { returned_count: await returnLease(sql, lease, outcome ?? 'clean'), held_count: 0 }
      if (rest.returned_count > 0) lines.wake(pool)
      if (rest.returned_count > 0 && rest.held_count === 0) observer.leasesEnded('returned', 1)
      return { id: lease.id, ...rest }
    },
  )

  done()
}

const nameOf = (id: string, fence: number, pool: string): LeaseName => ({ id: id.toLowerCase(), fence, pool })

/** Aborts if the connection closes before the response has been sent, or if that is an error: the client has no lease. */
export function leftSignal({ raw }: FastifyReply): AbortSignal {
  const left = new AbortController()
  if (raw.destroyed) left.abort() // while the request waited for its turn
  raw.once('close', () => {
    if (!raw.writableFinished || raw.statusCode >= 400) left.abort()
  })
  return left.signal
}
