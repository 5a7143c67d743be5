import type { TransactionSql } from 'postgres'
import type { Failure } from '../batches/failures.ts'
import type { Row } from './check-row.ts'
import { pageRows, type Target } from './page-rows.ts'

/**
 * Inserts the rows in their order, all in one statement, but those whose id, username or email is taken, be it by an earlier
 * one of them. Gives the numbers of the rows that are not in. What a row leaves out is filled in as for any new user.
 */
export async function insertPage(tx: TransactionSql, target: Target, rows: Row[]): Promise<number[]> {
  const left = await tx<{ n: number }[]>`
    with planned as materialized (
      select p.*, row_number() over (partition by p.id, p.username, p.email order by p.n) as copy
      from ${pageRows(tx, target, rows)}
    ), inserted as (
      insert into users (pool_id, id, username, email, role, batch_id, created_by_bulk, custom_attributes, created_at, updated_at)
      select ${target.poolId}, id, username, email, coalesce(given->>'role', 'user'),
        case when given ? 'batch_id' then (given->>'batch_id')::uuid else ${target.batchId}::uuid end,
        coalesce((given->>'created_by_bulk')::boolean, false), coalesce(given->'custom_attributes', '{}'),
        coalesce((given->>'created_at')::timestamptz, now()), coalesce((given->>'updated_at')::timestamptz, now())
      from planned order by n
      on conflict do nothing
      returning id, username, email
    )
    select p.n from planned p
    left join inserted i on i.id = p.id and i.username = p.username and i.email = p.email
    where i.id is null or p.copy > 1`
  return left.map(({ n }) => n)
}

/** Tells for rows that could not be inserted what of theirs is taken, in their order. */
export async function tellConflicts(tx: TransactionSql, target: Target, rows: Row[]): Promise<Failure[]> {
  return await tx<Failure[]>`
    select p.n, p.username, p.email,
      case
        when exists (select from users u where u.pool_id = p.pool_id and u.id = p.id) then 'id_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.username = p.username) then 'username_taken'
        when exists (select from users u where u.pool_id = p.pool_id and u.email = p.email) then 'email_taken'
        else 'conflict' -- what was in the way is gone by now
      end as code
    from ${pageRows(tx, target, rows)} order by p.n`
}
