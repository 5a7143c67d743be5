import type { ISql } from 'postgres'
import { Problem } from '../errors.ts'
import { lookUpScope } from '../export/scope-state.ts'
import type { Replica } from '../pools/pools.ts'
import { readReplica, requireNoUnfinishedBatch } from '../pools/replica.ts'
import type { ExportHead } from '../sync/read-export.ts'

export const WHOLE_POOL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }
export const TEST_USERS = { ...WHOLE_POOL, testUsersOnly: true }

export type Mirrors = Exclude<Replica, 'none'>

/** The users of the pool that a replica of this extent holds for its source. Its state is theirs. */
export const usersOf = (mirrors: Mirrors) => (mirrors === 'everything' ? WHOLE_POOL : TEST_USERS)

/**
 * Makes sure that the pool may take an export with this head as it is now. Returns what the pool mirrors, and whether it is a
 * replica already. A delta needs its base. A full export replaces all users, so a pool that holds users must have been declared
 * a replica. An administrator's export into another pool declares it a mirror of everything. Throws `base_mismatch` with the
 * state that is held, `forbidden`, `pool_not_replica`, `pool_in_use`, `pool_not_found`.
 */
export async function requireTakeable(
  sql: ISql,
  pool: string,
  head: ExportHead,
  isAdmin: boolean,
): Promise<{ mirrors: Mirrors; isReplica: boolean }> {
  const replica = await readReplica(sql, pool)
  if (replica === 'everything') requireAdmin(isAdmin)
  const isReplica = replica !== 'none'
  const mirrors = isReplica ? replica : isAdmin ? 'everything' : 'test_users'
  const { poolId, state, userCount } = await lookUpScope(sql, pool, usersOf(mirrors))
  if (head.kind !== 'full' && head.base !== state) {
    throw new Problem('base_mismatch', 'Send the delta from the state that is held, or a full export.', {
      members: { state },
    })
  }
  if (isReplica || head.kind === 'unchanged') return { mirrors, isReplica }
  if (!isAdmin) throw notDeclared()
  if (head.kind === 'full' && userCount > 0) {
    throw new Problem(
      'pool_not_replica',
      'Use an empty pool, or PATCH /v1/pools/{name} {"replica": "test_users"} or "everything", which lets an export replace these users.',
    )
  }
  await requireNoUnfinishedBatch(sql, poolId)
  return { mirrors, isReplica }
}

const notDeclared = () =>
  new Problem(
    'forbidden',
    'The pool is no replica. A key with the scope admin makes it one: PATCH /v1/pools/{name} {"replica": "test_users"}.',
  )

/** Throws `forbidden`: a mirror of everything holds users that are not test users. */
export function requireAdmin(isAdmin: boolean): void {
  if (!isAdmin) throw new Problem('forbidden', 'A replica of everything is read and written with the scope admin.')
}

/** What the pool is a replica of. Throws `pool_not_replica` if it is none: its users are not a source's to read as a whole. */
export async function requireReplica(sql: ISql, pool: string): Promise<Mirrors> {
  const replica = await readReplica(sql, pool)
  if (replica === 'none') throw new Problem('pool_not_replica', 'GET /v1/users/export reads its users.')
  return replica
}
