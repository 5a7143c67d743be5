import type { Fragment, ISql, Sql } from 'postgres'
import type { Static } from 'typebox'
import { type Page, readPage } from '../database/page.ts'
import { leaseNotFound } from './end-leases.ts'
import type { HoldingItem, LeaseDetail, LeaseItem } from './lease-schema.ts'

type Lease = Static<typeof LeaseItem>
type LeaseWithUsers = Static<typeof LeaseDetail>
type Holding = Static<typeof HoldingItem>

/** A lease whose time is over is expired, also before the sweep has ended it. */
const endedAt = (sql: ISql): Fragment =>
  sql`coalesce(x.ended_at, case when x.expires_at <= now() then x.expires_at end)`
const ending = (sql: ISql): Fragment => sql`coalesce(x.ending, case when x.expires_at <= now() then 'expired' end)`

const columns = (sql: ISql): Fragment => sql`
  x.id, x.fence::float8 as fence, x.owner, x.api_key, coalesce(${ending(sql)}, 'active') as status,
  rfc3339(x.granted_at) as granted_at, rfc3339(x.expires_at) as expires_at, rfc3339(${endedAt(sql)}) as ended_at,
  cardinality(x.user_ids) as user_count`

/** Returns one page of leases, newest first: those before `before`, all or only those that are not over. */
export function listLeases(
  sql: Sql,
  poolId: number,
  { isActive, before }: { isActive: boolean; before: string | undefined },
  limit: number,
): Promise<Page<Lease>> {
  return readPage(
    sql,
    limit,
    (sql, rows) => sql<Lease[]>`
      select ${columns(sql)} from leases x
      where x.pool_id = ${poolId} ${isActive ? sql`and x.ended_at is null and x.expires_at > now()` : sql``}
        ${before === undefined ? sql`` : sql`and x.id < ${before}`}
      order by x.id desc limit ${rows}`,
  )
}

/** Returns a lease and the state of each of its users. Throws `lease_not_found`. */
export async function readLease(sql: Sql, poolId: number, id: string): Promise<LeaseWithUsers> {
  const [lease] = await sql<LeaseWithUsers[]>`
    select ${columns(sql)}, (
      select json_agg(json_build_object('id', g.user_id, 'username', u.username, 'status', coalesce(
          r.outcome, case when u.is_test_user then coalesce(x.outcome, ${ending(sql)}, 'leased') else 'gone' end
        )) order by g.n)
      from unnest(x.user_ids) with ordinality g (user_id, n)
      left join lateral (
        select * from lease_returns r where r.pool_id = x.pool_id and r.lease_id = x.id and r.user_id = g.user_id offset 0
      ) r on true
      left join lateral (
        select u.username, u.is_test_user from users u where u.pool_id = x.pool_id and u.id = g.user_id offset 0
      ) u on true
    ) as users
    from leases x where x.pool_id = ${poolId} and x.id = ${id}`
  if (!lease) throw leaseNotFound()
  return lease
}

/**
 * Returns one page of the leases of a user, newest first: those before the lease `before`. Each lease names the one before it, so the
 * journal needs no row for each user of each lease. Undefined: nobody could ever lease this user.
 */
export async function listHoldings(
  sql: Sql,
  poolId: number,
  userId: string,
  before: string | undefined,
  limit: number,
): Promise<Page<Holding> | undefined> {
  const rows = await sql<(Holding & { n: number })[]>`
    with recursive chain (id, n) as (
      select case when ${before ?? null}::uuid is null then l.lease_id else (
          select x.previous_ids[array_position(x.user_ids, l.user_id)] from leases x
          where x.pool_id = l.pool_id and x.id = ${before ?? null}::uuid
        ) end, 1
      from lease_users l where l.pool_id = ${poolId} and l.user_id = ${userId}
      union all
      select x.previous_ids[array_position(x.user_ids, ${userId}::uuid)], c.n + 1
      from chain c
      cross join lateral (select * from leases x where x.pool_id = ${poolId} and x.id = c.id offset 0) x
      where c.n <= ${limit + 1}
    )
    select x.id as lease_id, x.fence::float8 as fence, x.owner, x.api_key, rfc3339(x.granted_at) as granted_at,
      rfc3339(coalesce(r.returned_at, ${endedAt(sql)})) as ended_at,
      case when r.user_id is null then ${ending(sql)} else 'returned' end as ending,
      coalesce(r.outcome, x.outcome) as outcome, r.note
    from chain c
    cross join lateral (select * from leases x where x.pool_id = ${poolId} and x.id = c.id offset 0) x
    left join lateral (
      select * from lease_returns r where r.pool_id = x.pool_id and r.lease_id = x.id and r.user_id = ${userId} offset 0
    ) r on true
    where c.n <= ${limit + 1}
    order by c.n`
  if (rows.length === 0 && !(await isKnown(sql, poolId, userId))) return undefined
  return { rows: rows.slice(0, limit), hasMore: rows.length > limit }
}

async function isKnown(sql: Sql, poolId: number, userId: string): Promise<boolean> {
  const [row] = await sql<{ is_known: boolean }[]>`
    select exists (select from lease_users where pool_id = ${poolId} and user_id = ${userId})
      or exists (select from users where pool_id = ${poolId} and id = ${userId} and is_test_user) as is_known`
  return row?.is_known ?? false
}
