import type { Fragment, ISql, Sql } from 'postgres'

/** Leases that one statement deletes. */
const LEASES_A_STEP = 1_000

/**
 * Whether a row of `leases x` is of a lease that ended more than `seconds` ago. Lease ids begin with the time of the grant, so it is among
 * the oldest.
 */
export function isOld(sql: ISql, seconds: number): Fragment {
  const moment = sql`(now() - ${seconds}::float8 * interval '1 second')`
  return sql`
    x.ended_at < ${moment}
    and x.id < (lpad(to_hex((extract(epoch from ${moment}) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`
}

/**
 * Deletes up to 1,000 of the pool's oldest leases that ended more than `seconds` ago, and the users that are gone and whose last lease is
 * among them. Returns how many leases. Arrays, not joins, as in end-leases.ts.
 */
export async function forgetLeases(sql: Sql, poolId: number, seconds: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    with old as materialized (
      select x.id from leases x where x.pool_id = ${poolId} and ${isOld(sql, seconds)} order by x.id limit ${LEASES_A_STEP}
    ), forgotten as (
      delete from leases x where x.pool_id = ${poolId} and x.id = any(array(select id from old)) returning x.id, x.user_ids
    ), gone as (
      delete from lease_users l
      where l.pool_id = ${poolId} and l.user_id = any(array(select unnest(user_ids) from forgotten))
        and l.status = 'gone' and l.lease_id = any(array(select id from forgotten))
    )
    select count(*)::int as count from forgotten`
  return row?.count ?? 0
}
