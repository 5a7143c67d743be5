import type { Sql } from 'postgres'
import { freeUsers } from '../end-leases.ts'

/** Who read a line: scripts send no id of a lease, so the address and the key of the reader stand for it. */
export interface Reader {
  /** The `owner` of the reader's leases. */
  owner: string
  apiKey: string | null
}

/** A user that a line names. */
interface NamedUser {
  /** Null: it was never leased. */
  status: 'free' | 'leased' | 'dirty' | 'consumed' | 'gone' | null
  /** The present lease; null unless this reader has it. */
  lease: { id: string; fence: number } | null
}

/** Finds the user of a line and its lease. Undefined if the pool has no such test user. */
export async function findNamedUser(
  sql: Sql,
  poolId: number,
  { column, value }: { column: 'id' | 'username' | 'email'; value: string },
  { owner, apiKey }: Reader,
): Promise<NamedUser | undefined> {
  const [user] = await sql<NamedUser[]>`
    select l.status, case when x.owner = ${owner} and x.api_key is not distinct from ${apiKey}::text
      then json_build_object('id', x.id, 'fence', x.fence) end as lease
    from users u
    left join lease_users l on l.pool_id = u.pool_id and l.user_id = u.id
    left join leases x on x.pool_id = l.pool_id and x.id = l.lease_id and l.status = 'leased'
    where u.pool_id = ${poolId} and u.${sql(column)} = ${value} and u.is_test_user`
  return user
}

/** Leases that one statement ends. */
const LEASES_A_STEP = 1_000

/** Returns every user that this reader still has. Returns how many leases ended. */
export async function returnAll(sql: Sql, poolId: number, { owner, apiKey }: Reader): Promise<number> {
  for (let ended = 0; ; ) {
    const step = await sql<{ id: string }[]>`
      with own as materialized (
        select x.id from leases x
        where x.pool_id = ${poolId} and x.ended_at is null and x.owner = ${owner}
          and x.api_key is not distinct from ${apiKey}::text
        order by x.id limit ${LEASES_A_STEP} for update skip locked
      ), ended as (
        update leases x set ended_at = now(), ending = 'returned', outcome = 'clean' from own
        where x.pool_id = ${poolId} and x.id = own.id and x.ended_at is null
        returning x.pool_id, x.id, x.user_ids, x.outcome
      ), freed as (${freeUsers(sql)})
      select id from ended`
    ended += step.length
    if (step.length === 0) return ended
  }
}
