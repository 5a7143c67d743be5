import type { ISql, PendingQuery, Row, Sql } from 'postgres'

/**
 * Every page of an export or a listing has an index that gives its rows in its order. Where statistics are missing or stale
 * (a pool filled a moment ago) the planner expects a hundred rows, and sorts all that is left of the pool for each page of
 * it: 110 ms a page of 2,000 among 100,000 users, against 10 ms. With a generic plan, one that fits no value, a delta of a
 * hundred rows may scan the whole table. A sort that is switched off and needed all the same (of a page's rows) counts as
 * very dear before PostgreSQL 18, and would have the query compiled: hence no jit. Parallel workers are not worth their
 * start for a page, and the cores are those of other requests.
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

/** For the rest of the transaction plans follow the order of an index, and are made for the values at hand. */
export function keepIndexOrder(sql: ISql): PendingQuery<Row[]> {
  return sql`
    select set_config(name, value, true)
    from unnest(${Object.keys(PLANNING)}::text[], ${Object.values(PLANNING)}::text[]) planning (name, value)`
}

/** Runs one reading query whose order an index carries, in a transaction of its own, so that no plan does otherwise. */
export async function readInIndexOrder<Found extends Row>(
  sql: Sql,
  query: (transaction: ISql) => PendingQuery<Found[]>,
): Promise<Found[]> {
  // Both are sent at once; PostgreSQL plans the second after it has run the first.
  const [, rows] = await sql.begin('read only', (transaction) => [keepIndexOrder(transaction), query(transaction)])
  return rows as Found[]
}
