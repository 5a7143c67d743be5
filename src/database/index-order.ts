import type { ISql, PendingQuery, Row, Sql } from 'postgres'
import { setLocal } from './set-local.ts'

/**
 * Every page of an export or a listing has an index with its rows in its order. If statistics are missing or stale (the
 * pool was just filled), the planner expects a hundred rows, and sorts the rest of the pool for each page: 110 ms per
 * page of 2,000 among 100,000 users, instead of 10 ms. With a generic plan, a delta of a hundred rows may scan the
 * whole table.
 *
 * Before PostgreSQL 18, a disabled sort that is still needed (of a page's rows) has a very high cost, which would
 * trigger JIT compilation, so jit is off. Parallel workers are off too: their start costs more than a page, and other
 * requests need the cores.
 */
const PLANNING = {
  plan_cache_mode: 'force_custom_plan',
  enable_sort: 'off',
  enable_incremental_sort: 'off',
  enable_bitmapscan: 'off',
  enable_seqscan: 'off',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
}

/** For the rest of the transaction, plans follow the order of an index and use the actual parameter values. */
export const forceIndexScans = (sql: ISql): PendingQuery<Row[]> => setLocal(sql, PLANNING)

/** Runs one reading query whose order an index supports, in a separate transaction with these planner settings. */
export async function readInIndexOrder<Found extends Row>(
  sql: Sql,
  query: (transaction: ISql) => PendingQuery<Found[]>,
): Promise<Found[]> {
  // Sends both at once. PostgreSQL plans the second after it has run the first.
  const [, rows] = await sql.begin('read only', (transaction) => [forceIndexScans(transaction), query(transaction)])
  return rows as Found[]
}
