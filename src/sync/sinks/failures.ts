import type { Sql } from 'postgres'
import { type Page, readPage } from '../../database/page.ts'
import { UNSURE } from '../kinds/kind.ts'
import type { SinkName } from './due-users.ts'

/** A user that the target refused, in API responses. */
export interface SinkFailure {
  user_id: string
  /** Null if the user was deleted here. */
  username: string | null
  operation: 'create' | 'update' | 'delete'
  code: string
  detail: string
  tried_at: string
}

/** Returns one page of the users that a target refused, by id: those after `after`. */
export async function listFailures(
  sql: Sql,
  { poolId, name, after, limit }: SinkName & { after: string; limit: number },
): Promise<Page<SinkFailure>> {
  return await readPage(
    sql,
    limit,
    (sql, rows) => sql<SinkFailure[]>`
      select s.user_id, u.username, s.code, s.detail, rfc3339(s.tried_at) as tried_at,
        case when u.username is null then 'delete'
          when s.external is null or s.external = ${UNSURE} then 'create' else 'update' end as operation
      from sink_users s
      left join lateral (
        select u.username from users u where u.pool_id = s.pool_id and u.id = s.user_id offset 0
      ) u on true
      where s.pool_id = ${poolId} and s.target = ${name} and s.code is not null and s.user_id > ${after}
      order by s.user_id limit ${rows}`,
  )
}

/** Returns how many users the target refused. */
export async function countFailures(sql: Sql, { poolId, name }: SinkName): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.code is not null`
  return row?.count ?? 0
}
