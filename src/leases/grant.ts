import type { Fragment, Sql } from 'postgres'
import { userLine } from '../states/filter.ts'
import { inStep } from './fill.ts'
import { type Hand, orderKey, type Selection, selectsUser } from './selection.ts'

/*
 * How a lease is granted.
 *
 * A user is held by at most one living lease, whatever dies. Everything that decides this is one row of `lease_users` and the row
 * lock on it: a grant takes only rows with the status `free`, locks them with SKIP LOCKED, and writes its lease id into them in the
 * same statement. A user becomes free only by the end of that lease, which first marks the lease as ended (end-leases.ts), so a
 * holder that comes back later fails. A lease is alive while `ended_at is null and expires_at > clock_timestamp()`: only the
 * database's clock counts. The fence comes from a sequence and is drawn while the users are locked, so it grows with each lease of a
 * user, and a system under test may refuse work with an older one (M. Kleppmann, How to do distributed locking, 2016).
 *
 * Example: the pool has the users A, B, C. `owner: "vu1"` requests one in the order `least_used`.
 *   lease_users before: A free, 0 uses · B free, 0 uses · C leased, 1 use
 *   The walk begins at the hand, here the beginning: A. The statement locks A, inserts lease L1 {fence 7, users [A]}, and sets
 *   A to leased, 1 use, lease L1. The next request finds B. If vu1 dies, L1 expires by the database's clock; the sweep marks L1 as
 *   ended and then sets A to free. A grant of A is now L2 with fence 8. If vu1 was only suspended and returns L1: 409 lease_lost.
 *
 * Why a table of its own: an update of `users` would fire the state capture, and a lease is no part of a state. Why a row for each
 * user, and not only for those that were leased: `free` can be an index, so that "none is free" is known without reading the pool.
 * Why the rows are made by the first lease (fill.ts): creation of users must not become slower for those that lease none.
 *
 * Why the users are taken by an insert that always conflicts: an update would join them with the leases in an order that depends on
 * statistics, and may read the pool.
 *
 * Why requests are granted together: one statement that grants 16 leases of one user costs a commit, not 16 of them, and callers of
 * one process cannot queue behind one another's row locks (strict first-in-first-out with 32 connections fell from 114,000 to 28,000
 * users/s). Why ties are broken by user id: neighbours in the index are neighbours on disk. With a random order of one million users,
 * a lease of 100 took 5 ms, with ids 1 ms.
 */

/** A request for users, as the statement needs it. */
export interface GrantRequest {
  count: number
  /** Whether fewer users are enough. */
  partial: boolean
  ttlSeconds: number
  owner: string
  apiKey: string | null
  idempotency: { owner: string; key: string; digest: Buffer } | undefined
}

export interface GrantedLease {
  id: string
  fence: number
  expires_at: string
  user_count: number
  /** The lines of the users, separated by commas. */
  users: string
}

export interface Grants {
  /** For each request its lease; undefined if it got none. */
  leases: (GrantedLease | undefined)[]
  poolExists: boolean
  /** Free users that were found, and could be granted: fewer than requested if there are no more. */
  found: number
  /** Whether there were more, whose lines were too long for this statement. */
  isCut: boolean
  /** Whether the walk could see every user of the pool. */
  isInStep: boolean
  /** The last user that was found. */
  hand: Hand | undefined
}

/** The lines of the users of one statement together. A statement takes fewer users if their lines are longer. */
export const MAX_LINE_BYTES = 16_777_216

/**
 * Grants users to requests, in their order, in one statement. A request gets all its users, or none. With `partial` it gets what is
 * left. A request with an idempotency key that already has a lease gets none.
 */
export async function grantLeases(
  sql: Sql,
  selection: Selection,
  hand: Hand,
  requests: GrantRequest[],
): Promise<Grants> {
  const total = requests.reduce((sum, { count }) => sum + count, 0)
  const rows = await sql<Row[]>`
    with pool as materialized (select id from pools where name = ${selection.pool}),
    requests as materialized (
      select * from json_to_recordset(${JSON.stringify(requests.map(recordOf))}::json) r (
        n int, count int, partial boolean, ttl int, owner text, api_key text, key_owner text, key text, key_digest text
      )
    ),
    found as materialized (
      select f.*, row_number() over () as place, sum(octet_length(f.line)) over (rows unbounded preceding) as bytes
      from (
        select * from (${walk(sql, selection, hand, 'behind', total)}) behind
        union all
        select * from (${walk(sql, selection, hand, 'before', total)}) before
        limit ${total}
      ) f
    ),
    chosen as materialized (
      select ((select array_agg(r.n order by r.n) from requests r cross join lateral generate_series(1, r.count)))[place] as n,
        array_agg(user_id order by place) as user_ids, array_agg(previous_id order by place) as previous_ids,
        array_agg(commit_id order by place) as commit_ids, string_agg(line, ',' order by place) as users, count(*)::int as user_count
      from found where bytes <= ${MAX_LINE_BYTES} or place = 1 group by 1
    ),
    granted as (
      insert into leases as x (pool_id, id, fence, owner, api_key, granted_at, expires_at, user_ids, previous_ids, commit_ids,
        idempotency_owner, idempotency_key, idempotency_digest)
      select (select id from pool), uuid_v7(), nextval('lease_fences'), r.owner, r.api_key, clock_timestamp(),
        clock_timestamp() + r.ttl * interval '1 second', c.user_ids, c.previous_ids, c.commit_ids, r.key_owner, r.key,
        decode(r.key_digest, 'hex')
      from chosen c join requests r on r.n = c.n
      where c.user_count = r.count or r.partial
      on conflict (pool_id, idempotency_owner, idempotency_key) where idempotency_key is not null do nothing
      returning x.id, x.fence, x.expires_at, x.user_ids
    ),
    taken as (
      insert into lease_users as l (pool_id, user_id, lease_id, draw)
      select (select id from pool), u.id, g.id, (random() * 4294967295 - 2147483648)::int
      from granted g cross join lateral unnest(g.user_ids) u (id)
      on conflict (pool_id, user_id) do update
      set status = 'leased', lease_id = excluded.lease_id, note = null, uses = l.uses + 1, draw = excluded.draw
    )
    select exists (select from pool) as pool_exists, (${inStep(sql, sql`(select id from pool)`)}) as is_in_step,
      (select count(*)::int from found) as found,
      coalesce((select sum(c.user_count)::int from chosen c), 0) as chosen,
      (select json_build_object('uses', f.uses, 'draw', f.draw, 'userId', f.user_id) from found f order by f.place desc limit 1) as hand,
      c.n, g.id, g.fence::float8 as fence, rfc3339(g.expires_at) as expires_at, c.user_count, c.users
    from (values (1)) always
    left join (granted g join chosen c on c.user_ids = g.user_ids) on true`
  return grantsOf(rows, requests.length)
}

const recordOf = ({ count, partial, ttlSeconds: ttl, owner, apiKey, idempotency }: GrantRequest, index: number) => ({
  ...{ n: index + 1, count, partial, ttl, owner, api_key: apiKey, key_owner: idempotency?.owner ?? '' },
  ...{ key: idempotency?.key ?? null, key_digest: idempotency?.digest.toString('hex') ?? null },
})

type Row = Pick<Grants, 'found' | 'hand'> & { pool_exists: boolean; is_in_step: boolean | null; chosen: number } & (
    | (GrantedLease & { n: number })
    | { n: null; id: null }
  )

function grantsOf(rows: Row[], requests: number): Grants {
  const leases: Grants['leases'] = Array.from({ length: requests })
  for (const row of rows) {
    if (row.n === null) continue
    const { n, id, fence, expires_at, user_count, users } = row
    leases[n - 1] = { id, fence, expires_at, user_count, users }
  }
  const { pool_exists: poolExists = false, is_in_step: isInStep, found = 0, chosen = 0, hand } = rows[0] ?? {}
  return {
    leases,
    poolExists,
    found: chosen,
    isCut: chosen < found,
    isInStep: isInStep ?? false,
    hand: hand ?? undefined,
  }
}

/**
 * Selects and locks up to `total` free users in the order of the selection: those behind the hand, or those before it. Reads a user
 * before it is locked, so only users that the filter selects are locked. `lateral … offset 0` forces one look-up per user.
 */
function walk(sql: Sql, selection: Selection, hand: Hand, part: 'behind' | 'before', total: number): Fragment {
  const key = orderKey(sql, selection.order, hand)
  const { batchId } = selection
  return sql`
    select l.user_id, l.uses, l.draw, l.lease_id as previous_id, u.commit_id, u.line
    from lease_users l
    cross join lateral (
      select u.commit_id, ${userLine(sql, 'u')} as line from users u
      where u.pool_id = l.pool_id and u.id = l.user_id ${selectsUser(sql, selection)} offset 0
    ) u
    where l.pool_id = (select id from pool) and l.status = 'free'
      ${batchId === undefined ? sql`` : sql`and l.batch_id = ${batchId}`}
      and (${key.columns}) ${part === 'behind' ? sql`>` : sql`<=`} (${key.hand})
    order by ${key.columns} limit ${total} for update of l skip locked`
}
