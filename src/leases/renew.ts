import type { Sql } from 'postgres'
import { userLine } from '../states/filter.ts'
import { failLost, isAlive, type LeaseName, lockLease } from './end-leases.ts'

/** What the holder of a lease needs to know about its users. */
export interface Renewed {
  id: string
  fence: number
  expires_at: string
  /** Users that were deleted, or are no test users any more. */
  gone: string[]
  /** The lines of users that were written since the lease was granted. */
  changed: string[]
}

/**
 * Sets the end of a lease to `ttlSeconds` from now. Compares its users with what they were at the grant, so a holder that misses one
 * response finds everything in the next. Throws `lease_lost` and `pool_not_found`.
 */
export async function renewLease(sql: Sql, lease: LeaseName, ttlSeconds: number): Promise<Renewed> {
  const [renewed] = await sql<Renewed[]>`
    with ${lockLease(sql, lease)}, renewed as (
      update leases x set expires_at = (select at from moment) + ${ttlSeconds}::int * interval '1 second'
      where ${isAlive(sql)}
      returning x.pool_id, x.id, x.fence, x.expires_at, x.user_ids, x.commit_ids
    )
    select r.id, r.fence::float8 as fence, rfc3339(r.expires_at) as expires_at, coalesce(m.gone, '{}') as gone,
      coalesce(m.changed, '{}') as changed
    from renewed r
    cross join lateral (
      select array_agg(g.user_id::text order by g.n) filter (where u.commit_id is null) as gone,
        array_agg(u.line order by g.n) filter (where u.commit_id <> g.commit_id) as changed
      from unnest(r.user_ids, r.commit_ids) with ordinality g (user_id, commit_id, n)
      left join lateral (
        select u.commit_id, ${userLine(sql, 'u')} as line from users u
        where u.pool_id = r.pool_id and u.id = g.user_id and u.is_test_user offset 0
      ) u on true
      where not exists (
        select from lease_returns b where b.pool_id = r.pool_id and b.lease_id = r.id and b.user_id = g.user_id offset 0
      )
    ) m`
  return renewed ?? (await failLost(sql, lease.pool))
}
