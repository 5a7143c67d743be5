import type { Sql } from 'postgres'

/** Leases that one statement deletes. */
const LEASES_A_STEP = 1_000

/**
 * Deletes up to 1,000 of the pool's oldest leases that ended more than `seconds` ago, and the users that are gone and whose last lease is
 * among them. Returns how many leases. Lease ids begin with the time of the grant, so the oldest come first.
 * Arrays, not joins, as in end-leases.ts.
 */
export async function forgetLeases(sql: Sql, poolId: number, seconds: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    with moment as materialized (select now() - ${seconds}::float8 * interval '1 second' as at),
    old as materialized (
      select x.id from leases x
      where x.pool_id = ${poolId} and x.ended_at < (select at from moment)
        and x.id < (select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid from moment)
      order by x.id limit ${LEASES_A_STEP}
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
