import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { Problem } from '../errors.ts'
import { Uuid } from '../http/schemas.ts'
import { poolMember } from '../pools/pool-parameter.ts'
import type { Filter } from '../states/filter.ts'
import { ANY_BATCH } from '../states/tables.ts'

/** The query members that select users, the same on every route that reads many. */
export const filterMembers = {
  ...poolMember,
  batch_id: Type.Optional(Uuid),
  test_users_only: Type.Optional(Type.Boolean({ default: true, description: '`false` needs the scope `admin`' })),
  bulk_users_only: Type.Optional(Type.Boolean({ default: false })),
}

const FilterQuery = Type.Object(filterMembers)

/**
 * The filter that a query names, all but its pool. Throws `forbidden` where non-test users are asked for without `admin`, and
 * `invalid_request` for the id under which the states of the whole pool are kept.
 */
export function filterOf(request: FastifyRequest, query: Static<typeof FilterQuery>): Omit<Filter, 'poolId'> {
  const testUsersOnly = query.test_users_only ?? true
  if (!testUsersOnly) requireScope(request, 'admin', 'test_users_only=false')
  if (query.batch_id === ANY_BATCH)
    throw new Problem('invalid_request', 'This batch_id is no batch. Leave it out for all users.')
  return {
    batchId: query.batch_id?.toLowerCase(),
    testUsersOnly,
    bulkUsersOnly: query.bulk_users_only ?? false,
  }
}
