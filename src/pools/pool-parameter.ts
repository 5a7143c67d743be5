import type { FastifyRequest, FastifySchema } from 'fastify'
import type { Sql } from 'postgres'
import { Type } from 'typebox'
import { POOL_NAME } from '../config/api-keys.ts'
import { Problem } from '../errors.ts'
import { strict } from '../http/schemas.ts'
import { findPoolId } from './pools.ts'

export const PoolName = Type.String({
  pattern: POOL_NAME.source,
  description: 'At most 63 characters: lower-case letters, digits and, after the first character, . _ -',
})

/** Every route under /v1 accepts this member in its query. A JSON body may carry it instead. */
export const poolParam = { pool: Type.Optional(PoolName) }

/** The query of a route that accepts nothing else there. */
export const PoolQuery = strict(poolParam)

/** Whether the query or body of a route accepts the member `pool`. Other bodies are not validated. */
export const hasPool = (schema: FastifySchema['body']): boolean =>
  'pool' in ((schema as { properties?: object } | undefined)?.properties ?? {})

/** Returns the pool that a request names in its query or body, else `default`. Throws `invalid_request` if the two differ. */
export function poolOf(request: FastifyRequest): string {
  const { query, body } = request
  const inQuery = (query as { pool?: string }).pool
  const inBody =
    body !== undefined && hasPool(request.routeOptions.schema?.body) ? (body as { pool?: string }).pool : undefined
  if (inQuery !== undefined && inBody !== undefined && inQuery !== inBody) {
    const errors = [{ path: 'body.pool', code: 'contradiction', message: 'differs from the query’s pool' }]
    throw new Problem('invalid_request', 'The query and the body name different pools.', { errors })
  }
  return inQuery ?? inBody ?? 'default'
}

/** Returns the id of a request's pool. Throws what `poolOf` throws, and `pool_not_found`. */
export const poolIdOf = async (sql: Sql, request: FastifyRequest): Promise<number> => findPoolId(sql, poolOf(request))

/** Returns the URL of something in a pool, for a Location header or a request. */
export const urlInPool = (path: string, pool: string) => (pool === 'default' ? path : `${path}?pool=${pool}`)
