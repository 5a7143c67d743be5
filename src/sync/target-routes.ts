import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { isCleartext } from '../config/loopback.ts'
import { Problem } from '../errors.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { strict } from '../http/schemas.ts'
import { PoolQuery, poolIdOf, poolOf, poolParam, urlInPool } from '../pools/pool-parameter.ts'
import { findPoolId } from '../pools/pools.ts'
import { isSink } from './kinds/kinds.ts'
import { TargetBody, TargetChangeBody, TargetName, TargetResponse } from './target-schema.ts'
import { changedSettings, newSettings, requireOtherPool } from './target-settings.ts'
import { changeTarget, createTarget, deleteTarget, listTargets, readTarget, type Target } from './targets.ts'

interface TargetRoutesOptions {
  sql: Sql
  cursors: Cursors
  encryptionKey: Buffer
  /** Hosts besides loopback that sinks may be on. */
  targetHosts: string[]
}

const TargetPath = Type.Object({ name: { ...TargetName, examples: ['tester'] } })

/** Routes with which an administrator creates, changes and deletes the targets of a pool. */
export const targetRoutes: FastifyPluginCallbackTypebox<TargetRoutesOptions> = (app, options, done) => {
  const { sql, cursors, encryptionKey, targetHosts } = options
  const config = { scope: 'admin' } as const
  const tags = ['sync']

  app.post(
    '/v1/targets',
    {
      config,
      schema: {
        operationId: 'createTarget',
        tags,
        summary: 'Create a target',
        description:
          'A receiver that this pool is pushed to, or a system under test that follows it (a sink), at its interval and by POST /v1/sync.',
        querystring: PoolQuery,
        body: TargetBody,
        example: { name: 'tester', url: 'http://127.0.0.1:3001' },
        response: { 201: TargetResponse },
        problems: ['target_exists', 'target_limit'],
      },
    },
    async (request, reply) => {
      const pool = poolOf(request)
      const poolId = await findPoolId(sql, pool)
      const { name } = request.body
      const settings = newSettings(request.body, pool, targetHosts)
      requireOtherPool(settings, pool, originOf(request))
      await createTarget(sql, encryptionKey, { poolId, name, ...settings })
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
        operationId: 'listTargets',
        tags,
        summary: 'List the targets by name',
        querystring: strict({ ...poolParam, ...pageParams }),
        response: { 200: pageOf(TargetResponse) },
        problems: [],
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
        operationId: 'getTarget',
        tags,
        summary: 'Read a target',
        params: TargetPath,
        querystring: PoolQuery,
        response: { 200: TargetResponse },
        problems: ['target_not_found'],
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
        operationId: 'updateTarget',
        tags,
        summary: 'Change a target',
        description: 'Members that are left out stay unchanged. If the url changes, the key must be sent again.',
        params: TargetPath,
        querystring: PoolQuery,
        body: TargetChangeBody,
        example: { interval_seconds: 60 },
        response: { 200: TargetResponse },
        problems: ['target_not_found', 'target_holds_users'],
      },
    },
    async (request) => {
      const { name } = request.params
      const poolId = await poolIdOf(sql, request)
      const present = await readTarget(sql, encryptionKey, poolId, name)
      const change = changedSettings(request.body, present, targetHosts)
      if (Object.keys(change).length === 0) throw new Problem('invalid_request', 'Name at least one member to change.')
      requireOtherPool({ ...present, ...change }, present.pool, originOf(request))
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
        operationId: 'deleteTarget',
        tags,
        summary: 'Delete a target and its runs',
        description:
          'A receiver keeps its users. A sink that has users of ours is deleted with `force=true` only: nothing can remove them from there afterwards. POST /v1/targets/{name}/clear removes them first.',
        params: TargetPath,
        querystring: strict({ ...poolParam, force: Type.Optional(Type.Boolean({ default: false })) }),
        response: { 204: Type.Null() },
        problems: ['target_not_found', 'target_holds_users'],
      },
    },
    async (request, reply) => {
      const { force = false } = request.query
      await deleteTarget(sql, { poolId: await poolIdOf(sql, request), name: request.params.name, force })
      return reply.code(204).send(null)
    },
  )

  done()
}

/** Where the client reaches this service. */
const originOf = ({ protocol, host }: FastifyRequest) => `${protocol}://${host}`

function warnOfCleartext({ name, url, key }: Target, log: FastifyBaseLogger): void {
  if (key !== undefined && isCleartext(url)) log.warn({ target: name }, 'target key crosses the network unencrypted')
}

const answerOf = ({ name, kind, url, key, filter, mapping, limits, ...target }: Target) => ({
  name,
  kind,
  url,
  has_key: key !== undefined,
  filter: {
    batch_id: filter.batchId ?? null,
    test_users_only: filter.testUsersOnly,
    bulk_users_only: filter.bulkUsersOnly,
  },
  remote_pool: isSink(kind) ? null : target.remotePool,
  mapping,
  limits: isSink(kind) ? limits : null,
  canary: target.canary,
  interval_seconds: target.intervalSeconds,
  created_at: target.createdAt,
  updated_at: target.updatedAt,
})
