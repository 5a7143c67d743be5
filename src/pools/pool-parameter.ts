import { Type } from 'typebox'
import { POOL_NAME } from '../config/api-keys.ts'
import { Problem } from '../errors.ts'

export const PoolName = Type.String({
  pattern: POOL_NAME.source,
  description: 'At most 63 characters: lower-case letters, digits and, after the first character, . _ -',
})

/** Every route under /v1 accepts this member in its query. A JSON body may carry it instead. */
export const poolParam = { pool: Type.Optional(PoolName) }

export const PoolQuery = Type.Object(poolParam, { additionalProperties: false })

/** Returns the pool that the query or the body names, `default` if neither does. Throws `invalid_request` if they differ. */
export function poolName(query: { pool?: string }, body: { pool?: string } = {}): string {
  if (query.pool !== undefined && body.pool !== undefined && query.pool !== body.pool) {
    const errors = [{ path: 'body.pool', code: 'contradiction', message: 'differs from the query’s pool' }]
    throw new Problem('invalid_request', 'The query and the body name different pools.', { errors })
  }
  return query.pool ?? body.pool ?? 'default'
}
