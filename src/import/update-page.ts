import type { TransactionSql } from 'postgres'
import type { Failure } from '../batches/failures.ts'
import type { Row } from './check-row.ts'
import { pageRows, type Target } from './page-rows.ts'

/**
 * What became of a row whose user is there: null, it is as the row says now; `again`, an earlier row of the page has changed
 * the same user, named in the other way, and this one has to follow.
 */
type Judged = Omit<Failure, 'code'> & { code: Failure['code'] | 'again' | null }

/**
 * Updates the test users whom rows name, by id or, without one, by username, with the members that are given. A user who
 * is as the row says already is not touched. A name counts as taken as long as another user has it, also one who gives it up
 * in the same page. Rows whose user is not there are not among those that are given back. No two of the rows may have an id,
 * username or email in common.
 *
 * Attributes are compared as text, since 1.1 and 1.10 are equal numbers and different lines. For the same reason the time is
 * always moved: the table's own trigger takes rows that differ in no more than that for equal, and would not stamp them.
 */
export async function updatePage(tx: TransactionSql, target: Target, rows: Row[]): Promise<Judged[]> {
  return await tx<Judged[]>`
    with found as materialized (
      select p.n, p.given, p.username, p.email, u.pool_id, u.id, u.is_test_user, row_number() over (partition by u.id order by p.n) as claim
      from ${pageRows(tx, target, rows)}
      cross join lateral (
        select u.pool_id, u.id, u.is_test_user from users u where u.pool_id = p.pool_id and p.has_id and u.id = p.id
        union all
        select u.pool_id, u.id, u.is_test_user from users u where u.pool_id = p.pool_id and not p.has_id and u.username = p.username
      ) u
    ), judged as materialized (
      select f.*, case
        when not f.is_test_user then 'user_protected'
        when f.claim > 1 then 'again' -- two rows name one user, one by id and one by username
        when exists (select from users o where o.pool_id = f.pool_id and o.username = f.username and o.id <> f.id)
          then 'username_taken'
        when f.given ? 'email'
          and exists (select from users o where o.pool_id = f.pool_id and o.email = f.email and o.id <> f.id) then 'email_taken'
        end as code
      from found f
    ), updated as (
      update users u set
        username = w.username, email = w.email, role = w.role, batch_id = w.batch_id, created_by_bulk = w.created_by_bulk,
        custom_attributes = w.custom_attributes, created_at = w.created_at,
        updated_at = case when w.updated_at is distinct from u.updated_at and w.updated_at is not null then w.updated_at
          else greatest(now(), u.updated_at + interval '1 microsecond') end
      from (
        select j.pool_id, j.id, j.username,
          case when j.given ? 'email' then j.email else o.email end as email,
          coalesce(j.given->>'role', o.role) as role,
          case when j.given ? 'batch_id' then (j.given->>'batch_id')::uuid else o.batch_id end as batch_id,
          coalesce((j.given->>'created_by_bulk')::boolean, o.created_by_bulk) as created_by_bulk,
          coalesce(j.given->'custom_attributes', o.custom_attributes) as custom_attributes,
          coalesce((j.given->>'created_at')::timestamptz, o.created_at) as created_at,
          (j.given->>'updated_at')::timestamptz as updated_at
        from judged j join users o on o.pool_id = j.pool_id and o.id = j.id
        where j.code is null
      ) w
      where u.pool_id = w.pool_id and u.id = w.id and u.is_test_user and (
        (u.username, u.email, u.role, u.batch_id, u.created_by_bulk, u.custom_attributes::text, u.created_at)
          is distinct from
        (w.username, w.email, w.role, w.batch_id, w.created_by_bulk, w.custom_attributes::text, w.created_at)
        or w.updated_at <> u.updated_at
      )
    )
    select n, username, email, code from judged order by n`
}
