import type { ISql } from 'postgres'
import { namedUser, type Page, pageRows } from './page-rows.ts'

/**
 * The longest beginning of a page whose rows have nothing to do with one another: no two share an id, username or email,
 * neither with each other nor with a user that the other one changes. One statement for all of them then gives what one
 * statement for each row, in order, would give. It is never empty.
 */
export async function independentRows(session: ISql, page: Page): Promise<Page> {
  const [row] = await session<{ dependent: number | null }[]>`
    with touched as materialized (
      select p.n, keys.key from ${pageRows(session, page)}
      cross join lateral (
        values (case when p.has_id then 'i' || p.id end), ('u' || p.username), ('e' || p.email)
      ) keys (key)
      union all
      select p.n, keys.key from ${pageRows(session, page)}
      cross join ${namedUser(session)}
      cross join lateral (values ('i' || named.id), ('u' || named.username), ('e' || named.email)) keys (key)
    ), shared as materialized (
      select key, min(n) as first from touched where key is not null group by key having min(n) < max(n)
    )
    select min(t.n) as dependent from touched t join shared s on s.key = t.key and t.n > s.first`
  return { first: page.first, last: row?.dependent == null ? page.last : row.dependent - 1 }
}
