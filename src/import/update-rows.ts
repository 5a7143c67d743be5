import type { ISql } from 'postgres'
import type { Failure } from '../batches/failures.ts'
import { namedUser, type Page, pageRows } from './page-rows.ts'

/** What became of a row whose user exists: a failure by its code, or null. */
type Judged = Omit<Failure, 'code'> & { code: Failure['code'] | null; changed: boolean }

/**
 * Updates the test users that the rows of an independent page name, with the members that are given. A user that equals its
 * row already is not touched. Rows whose user does not exist are not among those returned.
 *
 * Attributes are compared as text, since 1.1 and 1.10 are equal numbers and different lines. For the same reason `updated_at`
 * always moves, or the user line would change without a new time.
 */
export async function updateRows(session: ISql, page: Page): Promise<Judged[]> {
  return await session<Judged[]>`
    with judged as materialized (
      select p.*, named.id as user_id, case
        when not named.is_test_user then 'user_protected'
        when exists (select from users o where o.pool_id = p.pool_id and o.username = p.username and o.id <> named.id)
          then 'username_taken'
        when p.given ? 'email'
          and exists (select from users o where o.pool_id = p.pool_id and o.email = p.email and o.id <> named.id)
          then 'email_taken'
        end as code
      from ${pageRows(session, page)} cross join ${namedUser(session)}
    ), updated as (
      update users u set
        username = w.username, email = w.email, role = w.role, batch_id = w.batch_id, created_by_bulk = w.created_by_bulk,
        custom_attributes = w.custom_attributes, created_at = w.created_at,
        updated_at = case when w.updated_at is distinct from u.updated_at and w.updated_at is not null then w.updated_at
          else greatest(now(), u.updated_at + interval '1 microsecond') end
      from (
        select o.pool_id, o.id, j.username,
          case when j.given ? 'email' then j.email else o.email end as email,
          coalesce(j.given->>'role', o.role) as role,
          case when j.given ? 'batch_id' then (j.given->>'batch_id')::uuid else o.batch_id end as batch_id,
          coalesce((j.given->>'created_by_bulk')::boolean, o.created_by_bulk) as created_by_bulk,
          coalesce(j.given->'custom_attributes', o.custom_attributes) as custom_attributes,
          coalesce((j.given->>'created_at')::timestamptz, o.created_at) as created_at,
          (j.given->>'updated_at')::timestamptz as updated_at
        from judged j join users o on o.pool_id = j.pool_id and o.id = j.user_id
        where j.code is null
      ) w
      where u.pool_id = w.pool_id and u.id = w.id and u.is_test_user and (
        (u.username, u.email, u.role, u.batch_id, u.created_by_bulk, u.custom_attributes::text, u.created_at)
          is distinct from
        (w.username, w.email, w.role, w.batch_id, w.created_by_bulk, w.custom_attributes::text, w.created_at)
        or w.updated_at <> u.updated_at
      )
      returning u.id
    )
    select j.n, j.username, j.email, j.code, x.id is not null as changed
    from judged j left join updated x on x.id = j.user_id order by j.n`
}
