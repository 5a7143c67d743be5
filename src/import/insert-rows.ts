import type { ISql } from 'postgres'
import type { Failure } from '../batches/failures.ts'
import { type Page, pageRows } from './page-rows.ts'
import type { Target } from './stage-rows.ts'

/**
 * Inserts the rows of a page in their order, in one statement, except those whose id, username or email is taken, also by an
 * earlier row; and except the rows `found`. Members that a row leaves out get the defaults of a new user. Returns how many there
 * were to insert, and the numbers of those that are not inserted.
 */
export async function insertRows(
  session: ISql,
  { poolId, batchId }: Target,
  page: Page,
  found: number[],
): Promise<{ missing: number; left: number[] }> {
  const [row] = await session<{ missing: number; left: number[] }[]>`
    with planned as materialized (
      select p.*, row_number() over (partition by p.id, p.username, p.email order by p.n) as copy
      from ${pageRows(session, page)}
      where p.n <> all(${found}::int[])
    ), inserted as (
      insert into users (pool_id, id, username, email, role, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)
      select ${poolId}, id, username, email, coalesce(given->>'role', 'user'),
        case when given ? 'batch_id' then (given->>'batch_id')::uuid else ${batchId}::uuid end,
        coalesce((given->>'created_by_bulk')::boolean, false), coalesce(given->'custom_attributes', '{}'),
        coalesce((given->>'created_at')::timestamptz, now()), coalesce((given->>'updated_at')::timestamptz, now())
      from planned order by n
      on conflict do nothing
      returning id, username, email
    )
    select count(*)::int as missing, coalesce(array_agg(p.n) filter (where i.id is null or p.copy > 1), '{}') as left
    from planned p
    left join inserted i on i.id = p.id and i.username = p.username and i.email = p.email`
  return row ?? { missing: 0, left: [] }
}

/** Why rows could not be inserted, in their order. */
export async function findConflicts(session: ISql, page: Page, numbers: number[]): Promise<Failure[]> {
  return await session<Failure[]>`
    select p.n, p.username, p.email,
      case
        when exists (select from users u where u.pool_id = p.pool_id and u.id = p.id) then 'id_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.username = p.username) then 'username_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.email = p.email) then 'email_taken'
        else 'conflict' -- what was in the way is gone by now
      end as code
    from ${pageRows(session, page)} where p.n = any(${numbers}::int[]) order by p.n`
}
