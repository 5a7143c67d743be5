import type { ISql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { deleteUsers } from '../../src/pools/delete-users.ts'
import { testDatabase } from '../database.ts'
import { makePool } from '../export/observe.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A deletion of any size stays within the statement timeout. */

const { sql } = await sharedService(t)

const [GONE, OTHER] = ['01890000-0000-7000-8000-000000000000', '01890000-0000-7000-8000-000000000100'] as const
const NIL = '00000000-0000-0000-0000-000000000000'

t.test('a large deletion takes several statements, and deletes what one statement would', async (t) => {
  await sql.unsafe(`
    create function usersync.too_many() returns trigger language plpgsql as $$ begin
      if (select count(*) from old_rows) > 10 then raise exception 'too many' using errcode = '57014'; end if;
      return null;
    end $$;
    create trigger too_many after delete on usersync.users
    referencing old table as old_rows for each statement execute function usersync.too_many()`)
  t.teardown(() => sql.unsafe('drop trigger too_many on usersync.users; drop function usersync.too_many'))
  for (const size of [0, 1, 9, 10, 11, 20, 35]) {
    const [poolId, neighbour] = [await makePool(sql, `gone-${size}`), await makePool(sql, `stays-${size}`)]
    for (const pool of [poolId, neighbour]) {
      for (const [batch, sign] of [[GONE, 'g'] as const, [OTHER, 'o'] as const]) {
        await sql`
          insert into users (pool_id, id, username, email, batch_id, is_test_user)
          select ${pool}, case when ${sign} || n = 'g1' then ${NIL}::uuid else md5(${sign} || n)::uuid end, ${sign} || n, ${sign} || n, ${batch}, n <> 7
          from generate_series(1, ${size}::int) n`
      }
    }
    const left = async (pool: number) =>
      (await sql`select username from users where pool_id = ${pool} order by username`).map(({ username }) => username)
    const hasSeventh = size >= 7 ? 1 : 0
    const before = await left(neighbour)
    t.equal(await sql.begin((tx) => deleteUsers(tx, { poolId, batchId: GONE }, 10)), size - hasSeventh)
    const others = before.filter((name) => name.startsWith('o'))
    t.strictSame(await left(poolId), [...(hasSeventh ? ['g7'] : []), ...others])
    await sql`update users set is_test_user = true where pool_id = ${poolId} and not is_test_user`
    t.equal(await sql.begin((tx) => deleteUsers(tx, { poolId }, 10)), size + hasSeventh)
    t.strictSame([await left(poolId), await left(neighbour)], [[], before])
  }
})

t.test('each page reads its own users, although the statistics are those of another pool', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const addUsers = async (name: string, count: number) => {
    const poolId = await makePool(sql, name)
    await sql`
      insert into users (pool_id, id, username, email, batch_id)
      select ${poolId}, md5(n::text)::uuid, n, n, case when n % 2 = 0 then ${GONE}::uuid end from generate_series(1, ${count}::int) n`
    return poolId
  }
  const rowsRead = async (tx: ISql) => {
    const [row] = await tx<[{ count: number }]>`
      select (idx_tup_fetch + seq_tup_read)::int as count from pg_stat_xact_user_tables where relname = 'users'`
    return row.count
  }
  await sql`alter table users set (autovacuum_enabled = off)`
  await sql`alter table users disable trigger user` // the plans do not depend on them, and they take most of the time
  await sql`select nextval('commit_ids')`
  await addUsers('analyzed', 1_000)
  await sql`analyze users`
  // The index of commits has one level less than the primary key, and so a lower cost, from about 50,000 users on.
  const poolId = await addUsers('large', 60_000)
  for (const batchId of [GONE, undefined]) {
    const read = await sql.begin(async (tx) => {
      const before = await rowsRead(tx)
      t.equal(await deleteUsers(tx, { poolId, ...(batchId && { batchId }) }, 3_000), 30_000)
      return (await rowsRead(tx)) - before
    })
    t.ok(read < 4 * 30_000, `${batchId ?? 'pool'}: ${read} rows for 30,000`)
  }
})
