import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger } from 'fastify'
import type { Sql } from 'postgres'
import { type Static, Type } from 'typebox'
import { Problem } from '../errors.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { isCleartext, receiverUrl, TargetName, TargetResponse, targetMembers } from './target-schema.ts'
import {
  changeTarget,
  createTarget,
  deleteTarget,
  listTargets,
  readTarget,
  type Target,
  type TargetSettings,
} from './targets.ts'

interface TargetRoutesOptions {
  sql: Sql
  cursors: Cursors
  encryptionKey: Buffer
}

const TargetPath = Type.Object({ name: TargetName })
const TargetBody = strict({ ...poolParam, name: TargetName, ...targetMembers })
const TargetChangeBody = Type.Partial(Type.Object({ ...poolParam, ...targetMembers }), { additionalProperties: false })

/** Routes with which an administrator creates, changes and deletes the targets of a pool. */
export const targetRoutes: FastifyPluginCallbackTypebox<TargetRoutesOptions> = (app, options, done) => {
  const { sql, cursors, encryptionKey } = options
  const config = { scope: 'admin' } as const
  const tags = ['sync']

  app.post(
    '/v1/targets',
    {
      config,
      schema: {
        tags,
        summary: 'Create a target',
        description: 'A receiver that this pool is pushed to, at its interval and by POST /v1/sync.',
        querystring: PoolQuery,
        body: TargetBody,
        response: { 201: TargetResponse },
      },
    },
    async (request, reply) => {
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const { name, url, remote_pool: remotePool = pool, interval_seconds: intervalSeconds = null } = request.body
      const settings = { url: receiverUrl(url), key: request.body.key ?? undefined, remotePool, intervalSeconds }
      await createTarget(sql, encryptionKey, { poolId, name, ...settings, filter: filterOf(request.body.filter) })
      const location = urlInPool(`/v1/targets/${name}`, pool)
      const target = await readTarget(sql, encryptionKey, poolId, name)
      warnOfCleartext(target, request.log)
      return reply.code(201).header('location', location).send(answerOf(target))
    },
  )

  app.get(
    '/v1/targets',
    {
      config,
      schema: {
        tags,
        summary: 'List the targets by name',
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(TargetResponse) },
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const poolId = await poolIdOf(sql, request)
      const listing = `targets ${poolId}`
      const after = cursors.decode(listing, cursor) ?? ''
      const { rows, hasMore } = await listTargets(sql, encryptionKey, { poolId, after, limit })
      const page = { rows: rows.map(answerOf), hasMore }
      return makePage({ request, reply, cursors, listing }, page, ({ name }) => name)
    },
  )

  app.get(
    '/v1/targets/:name',
    {
      config,
      schema: {
        tags,
        summary: 'Read a target',
        params: TargetPath,
        querystring: PoolQuery,
        response: { 200: TargetResponse },
      },
    },
    async (request) => {
      const poolId = await poolIdOf(sql, request)
      return answerOf(await readTarget(sql, encryptionKey, poolId, request.params.name))
    },
  )

  app.patch(
    '/v1/targets/:name',
    {
      config,
      schema: {
        tags,
        summary: 'Change a target',
        description: 'Members that are left out stay unchanged. If the url changes, the key must be sent again.',
        params: TargetPath,
        querystring: PoolQuery,
        body: TargetChangeBody,
        response: { 200: TargetResponse },
      },
    },
    async (request) => {
      const { name } = request.params
      const poolId = await poolIdOf(sql, request)
      const change = changeOf(request.body)
      if (Object.keys(change).length === 0) throw new Problem('invalid_request', 'Name at least one member to change.')
      await changeTarget(sql, encryptionKey, { poolId, name, ...change })
      const target = await readTarget(sql, encryptionKey, poolId, name)
      warnOfCleartext(target, request.log)
      return answerOf(target)
    },
  )

  app.delete(
    '/v1/targets/:name',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a target and its runs',
        description: 'The receiver keeps its users.',
        params: TargetPath,
        querystring: PoolQuery,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await deleteTarget(sql, await poolIdOf(sql, request), request.params.name)
      return reply.code(204).send(null)
    },
  )

  done()
}

function warnOfCleartext({ name, url, key }: Target, log: FastifyBaseLogger): void {
  if (key !== undefined && isCleartext(url)) log.warn({ target: name }, 'target key crosses the network unencrypted')
}

const filterOf = (filter: Static<typeof TargetBody>['filter'] = {}): Target['filter'] => ({
  batchId: filter.batch_id?.toLowerCase(),
  testUsersOnly: filter.test_users_only ?? true,
  bulkUsersOnly: filter.bulk_users_only ?? false,
})

function changeOf(body: Static<typeof TargetChangeBody>): Partial<TargetSettings> {
  const { url, key, filter, remote_pool: remotePool, interval_seconds: intervalSeconds } = body
  return {
    ...(url !== undefined && { url: receiverUrl(url) }),
    ...(key !== undefined && { key: key ?? undefined }),
    ...(filter && { filter: filterOf(filter) }),
    ...(remotePool !== undefined && { remotePool }),
    ...(intervalSeconds !== undefined && { intervalSeconds }),
  }
}

const answerOf = ({ name, url, key, filter, remotePool, intervalSeconds, createdAt, updatedAt }: Target) => ({
  name,
  url,
  has_key: key !== undefined,
  filter: {
    batch_id: filter.batchId ?? null,
    test_users_only: filter.testUsersOnly,
    bulk_users_only: filter.bulkUsersOnly,
  },
  remote_pool: remotePool,
  interval_seconds: intervalSeconds,
  created_at: createdAt,
  updated_at: updatedAt,
})
