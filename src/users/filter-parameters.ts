import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { requireScope } from '../auth/authentication.ts'
import { Problem } from '../errors.ts'
import { Uuid } from '../http/schemas.ts'
import { poolParam } from '../pools/pool-parameter.ts'
import { ANY_BATCH, type Filter } from '../states/filter.ts'

/** The query members that select users, the same on every route that reads many users. */
export const filterMembers = {
  ...poolParam,
  batch_id: Type.Optional(Uuid),
  test_users_only: Type.Optional(Type.Boolean({ default: true, description: '`false` requires the scope `admin`' })),
  bulk_users_only: Type.Optional(Type.Boolean({ default: false })),
}

const FilterQuery = Type.Object(filterMembers)

/**
 * Returns the filter that a query names, without its pool. Throws `forbidden` if the query selects non-test users and
 * the key lacks `admin`. Throws `invalid_request` for the id that stands for the whole pool.
 */
export function filterOf(request: FastifyRequest, query: Static<typeof FilterQuery>): Omit<Filter, 'poolId'> {
  const testUsersOnly = query.test_users_only ?? true
  if (!testUsersOnly) requireScope(request, 'admin', 'test_users_only=false')
  if (query.batch_id === ANY_BATCH)
    throw new Problem('invalid_request', 'batch_id is not the id of a batch. Omit it to select all users.')
  return {
    batchId: query.batch_id?.toLowerCase(),
    testUsersOnly,
    bulkUsersOnly: query.bulk_users_only ?? false,
  }
}
