import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { requireReservedDomain } from '../config/reserved-domain.ts'
import { Problem } from '../errors.ts'
import { type Cursors, makePage, pageOf, pageParams } from '../http/pagination.ts'
import { sendJsonText } from '../http/replies.ts'
import { strict, Uuid } from '../http/schemas.ts'
import { acceptJson } from '../http/validation.ts'
import { PoolQuery, poolIdOf } from '../pools/pool-parameter.ts'
import { filterMembers, filterOf } from './filter-parameters.ts'
import { listUserLines } from './list-users.ts'
import { markOf, readMark, readSort, sortMember } from './sort.ts'
import { User, UserChangeBody } from './user-schema.ts'
import { deleteUser, findUserLines, readUserLine, updateUser } from './users.ts'

const UserPath = Type.Object({ id: Uuid })

/** RFC 7396. */
const MERGE_PATCH = 'application/merge-patch+json'

/** Single users, and the paged listing. A user is returned as its user line: the text that is hashed into states. */
export const userRoutes: FastifyPluginCallbackTypebox<{ sql: Sql; cursors: Cursors; reservedDomains: string[] }> = (
  app,
  { sql, cursors, reservedDomains },
  done,
) => {
  const read = { scope: 'users:read' } as const
  const write = { scope: 'users:write' } as const
  const tags = ['users']
  acceptJson(app, MERGE_PATCH)

  app.get(
    '/v1/users',
    {
      config: read,
      schema: {
        operationId: 'listUsers',
        tags,
        summary: 'List users',
        querystring: strict({
          ...filterMembers,
          username: Type.Optional(
            Type.String({ minLength: 1, maxLength: 254, description: 'Only the user with exactly this name' }),
          ),
          ...sortMember,
          ...pageParams,
        }),
        response: { 200: pageOf(User) },
        problems: [],
      },
    },
    async (request, reply) => {
      const { limit = 100, cursor, username } = request.query
      const sort = readSort(request.query.sort ?? 'id')
      const filter = { poolId: await poolIdOf(sql, request), ...filterOf(request, request.query) }
      if (username !== undefined) {
        cursors.decode('user by name', cursor) // there is only one page
        return sendJsonText(reply, `{"items":[${await findUserLines(sql, filter, username)}],"next_cursor":null}`)
      }
      const listing = `users ${JSON.stringify(filter)} ${sort.name}`
      const after = readMark(cursors.decode(listing, cursor))
      const page = await listUserLines(sql, { filter, sort, after, limit })
      const { items, next_cursor } = makePage({ request, reply, cursors, listing }, page, (line) => markOf(sort, line))
      return sendJsonText(reply, `{"items":[${items.join(',')}],"next_cursor":${JSON.stringify(next_cursor)}}`)
    },
  )

  app.get(
    '/v1/users/:id',
    {
      config: read,
      schema: {
        operationId: 'getUser',
        tags,
        summary: 'Read a user',
        params: UserPath,
        querystring: PoolQuery,
        response: { 200: User },
        problems: ['user_not_found'],
      },
    },
    async (request, reply) => {
      const poolId = await poolIdOf(sql, request)
      const testUsersOnly = !request.scopes.has('admin')
      return sendJsonText(reply, await readUserLine(sql, poolId, request.params.id, testUsersOnly))
    },
  )

  app.patch(
    '/v1/users/:id',
    {
      config: write,
      schema: {
        operationId: 'updateUser',
        tags,
        summary: 'Change a test user',
        description: '`custom_attributes` is a JSON merge patch (RFC 7396); the other members replace the old values.',
        params: UserPath,
        querystring: PoolQuery,
        body: UserChangeBody,
        consumes: ['application/json', MERGE_PATCH],
        example: { role: 'admin', custom_attributes: { plan: 'gold' } },
        response: { 200: User },
        problems: [
          'user_protected',
          'user_not_found',
          'pool_is_replica',
          'user_exists',
          'user_too_large',
          'domain_not_reserved',
        ],
      },
    },
    async (request, reply) => {
      const { pool: _, ...change } = request.body
      if (Object.keys(change).length === 0)
        throw new Problem('invalid_request', 'The body has no member to change. Name at least one.')
      if (change.email !== undefined) requireReservedDomain(change.email, reservedDomains, 'body.email')
      const poolId = await poolIdOf(sql, request)
      return sendJsonText(reply, await updateUser(sql, poolId, request.params.id, change))
    },
  )

  app.delete(
    '/v1/users/:id',
    {
      config: write,
      schema: {
        operationId: 'deleteUser',
        tags,
        summary: 'Delete a test user',
        description: 'Does not wait for a lease: its holder hears of the deletion at its next renewal.',
        params: UserPath,
        querystring: PoolQuery,
        response: { 204: Type.Null() },
        problems: ['user_protected', 'user_not_found', 'pool_is_replica'],
      },
    },
    async (request, reply) => {
      await deleteUser(sql, await poolIdOf(sql, request), request.params.id)
      return reply.code(204).send(null)
    },
  )

  done()
}
