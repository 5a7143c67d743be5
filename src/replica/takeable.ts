import type { ISql } from 'postgres'
import { Problem } from '../errors.ts'
import { lookUpScope } from '../export/scope-state.ts'
import { requireNoUnfinishedBatch } from '../pools/replica.ts'
import type { ExportHead } from '../sync/read-export.ts'

/** A replica holds what it was given and nothing else, so its state is that of everybody in the pool. */
export const WHOLE_POOL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }

/**
 * Makes sure that the pool may take an export with this head as it is now; gives whether it is a replica already. A delta
 * needs its base. A full export replaces everybody, so a pool that holds users must have been declared a replica.
 * Throws `base_mismatch` with the state that is held, `pool_not_replica`, `pool_in_use`, `pool_not_found`.
 */
export async function requireTakeable(sql: ISql, pool: string, head: ExportHead): Promise<boolean> {
  const { poolId, state, userCount } = await lookUpScope(sql, pool, WHOLE_POOL)
  if (head.kind !== 'full' && head.base !== state) {
    throw new Problem('base_mismatch', 'Send the delta from the state that is held, or a full export.', {
      members: { state },
    })
  }
  const [row] = await sql<{ is_replica: boolean }[]>`
    select replica_since is not null as is_replica from pools where id = ${poolId}`
  if (row?.is_replica) return true
  if (head.kind === 'full' && userCount > 0) {
    throw new Problem(
      'pool_not_replica',
      'Use an empty pool, or PATCH /v1/pools/{name} {"replica": true}, which lets an export replace all its users.',
    )
  }
  if (head.kind !== 'unchanged') await requireNoUnfinishedBatch(sql, poolId)
  return false
}

/** Throws `pool_not_replica` where the pool is none: its users are not a source's to read as a whole. */
export async function requireReplica(sql: ISql, poolId: number): Promise<void> {
  const [row] = await sql`select from pools where id = ${poolId} and replica_since is not null`
  if (!row) throw new Problem('pool_not_replica', 'GET /v1/users/export reads its users.')
}
