import type { Sql } from 'postgres'
import { ANY_BATCH, userLine } from './filter.ts'

/** A pool whose recorded states were compared with its users. */
export interface VerifiedPool {
  pool: string
  user_count: number
  /** Filters (batch, test users, users created in bulk, all) whose recorded state or count does not match their users. */
  wrong: { batch_id: string | null; test_users_only: boolean; bulk_users_only: boolean }[]
}

/** Maximum number of wrong filters reported for a pool. */
const MAX_NAMED = 100

/**
 * Computes the state of every filter of a pool from its users, in one statement and so in one snapshot, and compares it
 * with the recorded state. Reads all users: about 4 s of PostgreSQL time for a million.
 */
export async function verifyPool(sql: Sql, { id, name }: { id: number; name: string }): Promise<VerifiedPool> {
  const [row] = await sql<{ user_count: number; wrong: VerifiedPool['wrong'] }[]>`
    with parts as (
      select d.batch_id, d.is_test_user, d.created_by_bulk, count(*) as user_count,
        sum(substring(d.digest from 1 for 64)::bigint) as word_0, sum(substring(d.digest from 65 for 64)::bigint) as word_1,
        sum(substring(d.digest from 129 for 64)::bigint) as word_2, sum(substring(d.digest from 193 for 64)::bigint) as word_3
      from (
        select u.batch_id, u.is_test_user, u.created_by_bulk,
          line_digest(${userLine(sql, 'u')}) as digest
        from users u where u.pool_id = ${id} offset 0
      ) d
      group by d.batch_id, d.is_test_user, d.created_by_bulk
    ), computed as (
      select b.batch_id, f.test_users_only, k.bulk_users_only, sum(p.user_count) as user_count,
        wrap_word(sum(p.word_0)) as word_0, wrap_word(sum(p.word_1)) as word_1, wrap_word(sum(p.word_2)) as word_2,
        wrap_word(sum(p.word_3)) as word_3
      from parts p
      cross join lateral (select ${ANY_BATCH}::uuid union select p.batch_id where p.batch_id is not null) b (batch_id)
      cross join lateral (select false union select p.is_test_user) f (test_users_only)
      cross join lateral (select false union select p.created_by_bulk) k (bulk_users_only)
      group by b.batch_id, f.test_users_only, k.bulk_users_only
    ), compared as (
      select nullif(batch_id, ${ANY_BATCH}) as batch_id, test_users_only, bulk_users_only
      from (select * from scopes where pool_id = ${id}) s
      full join computed c using (batch_id, test_users_only, bulk_users_only)
      where (coalesce(s.user_count, 0), coalesce(s.word_0, 0), coalesce(s.word_1, 0), coalesce(s.word_2, 0), coalesce(s.word_3, 0))
        is distinct from
        (coalesce(c.user_count, 0), coalesce(c.word_0, 0), coalesce(c.word_1, 0), coalesce(c.word_2, 0), coalesce(c.word_3, 0))
      limit ${MAX_NAMED}
    )
    select (select coalesce(sum(user_count), 0)::float8 from parts) as user_count,
      (select coalesce(json_agg(c), '[]') from compared c) as wrong`
  return { pool: name, user_count: row?.user_count ?? 0, wrong: row?.wrong ?? [] }
}
