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
 * The rows of a page as a table `p`: n, the row as it was given (jsonb, every digit kept), and what names its user. A row
 * without an id gets one that follows the order of the rows.
 */
export function pageRows(tx: TransactionSql, { userIdPrefix }: Target, rows: Row[]): Fragment {
  const numbers = rows.map(({ n }) => n)
  const texts = `[${rows.map(({ text }) => text).join(',')}]`
  return tx`(
    select r.n, r.given, r.given ? 'id' as has_id, r.given->>'username' as username,
      coalesce(r.given->>'email', r.given->>'username') as email,
      coalesce((r.given->>'id')::uuid, (${userIdPrefix}::text || lpad(to_hex(r.n), 8, '0'))::uuid) as id
    from rows from (unnest(${numbers}::int[]), jsonb_array_elements(${texts}::jsonb)) as r (n, given)
  ) p`
}
