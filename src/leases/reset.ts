import type { Sql } from 'postgres'
import { type Selection, selectsUser } from './selection.ts'

/** Users that one statement frees. */
const USERS_A_STEP = 5_000

/** Frees the dirty and consumed users that the selection names, step by step. Returns how many. Idempotent. */
export async function resetUsers(sql: Sql, poolId: number, selection: Omit<Selection, 'order'>): Promise<number> {
  let freed = 0
  for (let after: string | null = '00000000-0000-0000-0000-000000000000'; after !== null; ) {
    const [step]: { count: number; last: string | null }[] = await sql<{ count: number; last: string | null }[]>`
      with used as materialized (
        select l.user_id from lease_users l
        where l.pool_id = ${poolId} and l.user_id > ${after} and l.status in ('dirty', 'consumed')
        order by l.user_id limit ${USERS_A_STEP}
      ), freed as (
        update lease_users l set status = 'free', note = null
        where l.pool_id = ${poolId} and l.user_id = any(array(select user_id from used)) and l.status in ('dirty', 'consumed') and exists (
          select from users u where u.pool_id = l.pool_id and u.id = l.user_id ${selectsUser(sql, selection)} offset 0
        )
        returning l.user_id
      )
      select (select count(*)::int from freed) as count, (
        select user_id from used order by user_id desc limit 1
      ) as last`
    freed += step?.count ?? 0
    after = step?.last ?? null
  }
  return freed
}
