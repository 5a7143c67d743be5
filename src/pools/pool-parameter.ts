import { Type } from 'typebox'
import { Problem } from '../errors.ts'

/** What a pool may be called. */
export const POOL_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/

export const PoolName = Type.String({
  pattern: POOL_NAME.source,
  description: 'Lower-case letters, digits, and . _ - after the first; at most 63.',
})

/** The member that every route under /v1 takes in its query, and every JSON body may carry instead. */
export const poolMember = { pool: Type.Optional(PoolName) }

/** The pool that a request names in its query or its body, else `default`. Throws `invalid_request` where they differ. */
export function poolName(query: { pool?: string }, body: { pool?: string } = {}): string {
  if (query.pool !== undefined && body.pool !== undefined && query.pool !== body.pool) {
    const errors = [{ path: 'body.pool', code: 'contradiction', message: 'differs from the query’s pool' }]
    throw new Problem('invalid_request', 'The query and the body name different pools.', { errors })
  }
  return query.pool ?? body.pool ?? 'default'
}
