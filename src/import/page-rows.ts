import type { Fragment, TransactionSql } from 'postgres'
import type { Row } from './check-row.ts'

/** Where an import writes. */
export interface Target {
  poolId: number
  batchId: string
  /** With the number of a row behind it, the id of a user who comes without one. */
  userIdPrefix: string
}

/**
 * The rows of a page as a table `p`: n, their pool, the row as it was given (jsonb, every digit kept), and what names its user.
 * A row without an id gets one that follows the order of the rows.
 *
 * Users are to be looked up by the pool of the row, `p.pool_id`, and not by the pool's number: of a pool that statistics do not
 * know the planner expects a single user, takes any index that begins with the pool, and reads all users of the pool for each
 * row (36,000 users, 2,000 rows: 58 s; by the row's pool 0.15 s).
 */
export function pageRows(tx: TransactionSql, { poolId, userIdPrefix }: Target, rows: Row[]): Fragment {
  const numbers = rows.map(({ n }) => n)
  const texts = `[${rows.map(({ text }) => text).join(',')}]`
  return tx`(
    select r.n, r.pool_id, r.given, r.given ? 'id' as has_id, r.given->>'username' as username,
      coalesce(r.given->>'email', r.given->>'username') as email,
      coalesce((r.given->>'id')::uuid, (${userIdPrefix}::text || lpad(to_hex(r.n), 8, '0'))::uuid) as id
    from rows from (
      unnest(${numbers}::int[], array_fill(${poolId}::int, array[${numbers.length}::int])),
      jsonb_array_elements(${texts}::jsonb)
    ) as r (n, pool_id, given)
  ) p`
}
