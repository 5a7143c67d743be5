import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { named, strict } from '../http/schemas.ts'
import { deletePool } from './delete-pool.ts'
import { PoolName } from './pool-parameter.ts'
import { createPool, getPool, listPools, type Replica } from './pools.ts'
import { setReplica } from './replica.ts'

export const PoolResponse = named('Pool', {
  name: Type.String(),
  replica: Type.Enum(['none', 'test_users', 'everything'], {
    description: 'Which users only exports write: none, the test users, or all users',
  }),
  created_at: Type.String({ format: 'date-time' }),
})
/** What a request may set. */
const ReplicaMember = Type.Union(
  [Type.Enum(['none', 'test_users', 'everything']), Type.Boolean({ description: '`test_users`, or `none`' })],
  {
    description:
      'A replica receives its users from exports (PUT /v1/replica/users) and rejects other writes. `test_users`: accepts exports of test users in reserved domains, with the scope `users:write`; other users of the pool stay. `everything`: accepts any export, with the scope `admin`; the export also replaces and deletes users that are not test users.',
  },
)
const replicaOf = (given: Replica | boolean): Replica =>
  typeof given === 'boolean' ? (given ? 'test_users' : 'none') : given

const PoolPath = Type.Object({ name: { ...PoolName, examples: ['default'] } })
const NoQuery = strict({})

interface PoolRoutesOptions {
  sql: Sql
  cursors: Cursors
}

/** Systems under test: an administrator creates, lists, declares as replicas and removes them. */
export const poolRoutes: FastifyPluginCallbackTypebox<PoolRoutesOptions> = (app, { sql, cursors }, done) => {
  const config = { scope: 'admin' } as const
  const tags = ['pools']

  app.post(
    '/v1/pools',
    {
      config,
      schema: {
        operationId: 'createPool',
        tags,
        summary: 'Create a pool',
        querystring: NoQuery,
        body: strict({ name: PoolName, replica: Type.Optional(ReplicaMember) }),
        example: { name: 'shop' },
        response: { 201: PoolResponse },
        problems: ['pool_exists'],
      },
    },
    async (request, reply) => {
      const pool = await createPool(sql, request.body.name, replicaOf(request.body.replica ?? 'none'))
      return reply.code(201).header('location', `/v1/pools/${pool.name}`).send(pool)
    },
  )

  app.get(
    '/v1/pools',
    {
      config,
      schema: {
        operationId: 'listPools',
        tags,
        summary: 'List pools by name',
        querystring: strict(pageParams),
        response: { 200: pageOf(PoolResponse) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor } = request.query
      const pools = await listPools(sql, cursors.decode('pools', cursor) ?? '', limit + 1)
      const page = { rows: pools.slice(0, limit), hasMore: pools.length > limit }
      return makePage({ request, reply, cursors, listing: 'pools' }, page, ({ name }) => name)
    },
  )

  app.get(
    '/v1/pools/:name',
    {
      config,
      schema: {
        operationId: 'getPool',
        tags,
        summary: 'Read a pool',
        params: PoolPath,
        querystring: NoQuery,
        response: { 200: PoolResponse },
        problems: ['pool_not_found'],
      },
    },
    (request) => getPool(sql, request.params.name),
  )

  app.patch(
    '/v1/pools/:name',
    {
      config,
      schema: {
        operationId: 'updatePool',
        tags,
        summary: 'Declare a pool a replica, or release it',
        description: 'An export that is put into a replica replaces its users, however they were created.',
        params: PoolPath,
        querystring: NoQuery,
        body: strict({ replica: ReplicaMember }),
        example: { replica: 'none' },
        response: { 200: PoolResponse },
        problems: ['pool_not_found', 'pool_in_use'],
      },
    },
    async (request) => {
      await setReplica(sql, request.params.name, replicaOf(request.body.replica))
      return getPool(sql, request.params.name)
    },
  )

  app.delete(
    '/v1/pools/:name',
    {
      config,
      schema: {
        operationId: 'deletePool',
        tags,
        summary: 'Remove a pool and all its test users',
        description:
          'Systems under test keep the users that targets have put there. If there are any, the pool is removed with `force=true` only.',
        params: PoolPath,
        querystring: strict({ force: Type.Optional(Type.Boolean({ default: false })) }),
        response: { 204: Type.Null() },
        problems: ['pool_not_found', 'pool_in_use', 'target_holds_users'],
      },
    },
    async (request, reply) => {
      await deletePool(sql, request.params.name, { force: request.query.force ?? false })
      return reply.code(204).send(null)
    },
  )

  done()
}
