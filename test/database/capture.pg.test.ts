import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import type { Held } from '../export/apply-export.ts'
import { exportTo, makePool, NOTHING, stateFromScratch } from '../export/observe.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Every write to `users`, in whatever way, is in the next delta, and the stored state is that of the rows. Each test
 * has its own pool and its own writer connection, so that settings do not leak.
 */

const url = await testDatabase()
const sql = connect({ url, schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end())

const ALL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }

/** A pool, an external writer, and the state that a client holds of the pool. */
async function scene(t: Test, name: string) {
  const poolId = await makePool(sql, name)
  const writer = connect({ url, schema: 'usersync', connections: 1, name: 'writer' })
  t.teardown(() => writer.end())
  let held: Held = NOTHING
  /** Applies the next delta, and checks that the result is the state of the rows. */
  const follow = async (t: Test) => {
    const { head, held: next } = await exportTo(sql, name, ALL, held)
    held = next
    t.equal(head.state, await stateFromScratch(sql, poolId, ALL), 'the stored state is that of the rows')
    return head
  }
  await follow(t)
  return {
    poolId,
    writer,
    follow,
    usernames: () => [...held.lines.values()].map((line) => JSON.parse(line).username).toSorted(),
  }
}

const versionOf = async (poolId: number) => {
  const [row] =
    await sql`select version from scopes where pool_id = ${poolId} and not test_users_only and not bulk_users_only`
  return Number(row?.['version'] ?? 0)
}

t.test('every statement that writes rows is captured', async (t) => {
  const { poolId, writer, follow, usernames } = await scene(t, 'statements')
  const mine = writer`pool_id = ${poolId}`
  const email = (name: string) => `${name}@example.com`

  await writer`
    insert into users (id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes, created_at, updated_at, pool_id)
    values (gen_random_uuid(), 'all', ${email('all')}, 'r', false, null, true, '{"a": 1}', '2020-02-29T23:59:59.999999+14', '2021-01-01', ${poolId})`
  t.match((await follow(t)).counts, { added: 1, updated: 0, deleted: 0 }, 'only documented columns')

  await writer.unsafe(`alter table users alter pool_id set default ${poolId}`)
  await writer`insert into users (username, email) values ('few', ${email('few')})`
  await follow(t)
  t.strictSame(usernames(), ['all', 'few'], 'only username and email')

  const rows = Readable.from(['copied1\tcopied1@example.com\n', 'copied2\tcopied2@example.com\n'])
  await pipeline(rows, await writer`copy users (username, email) from stdin`.writable())
  t.match((await follow(t)).counts, { added: 2, updated: 0, deleted: 0 }, 'COPY')

  await writer`
    insert into users (username, email) values ('few', ${email('few')}), ('new', ${email('new')})
    on conflict (pool_id, username) do update set role = 'met again'`
  t.match((await follow(t)).counts, { added: 1, updated: 1, deleted: 0 }, 'ON CONFLICT DO UPDATE')

  await writer`
    insert into users (username, email) values ('few', 'nobody@example.com') on conflict do nothing`
  t.match((await follow(t)).kind, 'unchanged', 'ON CONFLICT DO NOTHING')

  await writer`
    merge into users u using (values ('few'), ('copied1'), ('merged')) v (name) on u.pool_id = ${poolId} and u.username = v.name
    when matched and v.name = 'copied1' then delete
    when matched then update set role = 'merged'
    when not matched then insert (username, email) values (v.name, v.name || '@example.com')`
  t.match((await follow(t)).counts, { added: 1, updated: 1, deleted: 1 }, 'MERGE')
  t.strictSame(usernames(), ['all', 'copied2', 'few', 'merged', 'new'])

  await writer`
    with moved as (delete from users where ${mine} and username = 'new' returning username, email)
    insert into users (username, email) select username || '2', email || '.test' from moved`
  t.match((await follow(t)).counts, { added: 1, updated: 0, deleted: 1 }, 'several writes in one statement')

  await writer`update users set role = role where ${mine}`
  t.match(await follow(t), { kind: 'unchanged' }, 'an update that changes nothing creates no version')

  await writer.unsafe(
    `create temp table doomed as select id from users; delete from users u using doomed d where u.id = d.id`,
  )
  t.match((await follow(t)).counts, { deleted: 5 }, 'DELETE USING')
  await writer.unsafe('alter table users alter pool_id set default 1')
})

t.test('a rollback to a savepoint undoes the changes after it', async (t) => {
  const { poolId, writer, follow, usernames } = await scene(t, 'savepoints')
  const insert = (name: string) =>
    writer`insert into users (pool_id, username, email) values (${poolId}, ${name}, ${`${name}@example.com`})`
  await writer`begin`
  await writer`savepoint first`
  await insert('lost')
  await writer`rollback to savepoint first`
  await insert('kept')
  await writer`savepoint second`
  await writer`delete from users where pool_id = ${poolId}`
  await writer`rollback to savepoint second`
  await writer`commit`
  await follow(t)
  t.strictSame(usernames(), ['kept'])
  t.equal(await versionOf(poolId), 1)
  await writer`begin`
  await insert('never')
  await writer`rollback`
  t.equal((await follow(t)).kind, 'unchanged')
  await insert('after')
  t.match((await follow(t)).counts, { added: 1 })
})

t.test('writes with session_replication_role = replica are captured', async (t) => {
  const { poolId, writer, follow } = await scene(t, 'replica')
  await writer`set session_replication_role = replica`
  await writer`insert into users (pool_id, username, email) values (${poolId}, 'a', 'a@test'), (${poolId}, 'b', 'b@test')`
  t.match((await follow(t)).counts, { added: 2, updated: 0, deleted: 0 })
  await writer`update users set role = 'x' where pool_id = ${poolId} and username = 'a'`
  t.match((await follow(t)).counts, { added: 0, updated: 1, deleted: 0 })
  await writer`delete from users where pool_id = ${poolId} and username = 'b'`
  t.match((await follow(t)).counts, { added: 0, updated: 0, deleted: 1 })
})

t.test('TRUNCATE and unknown pools are rejected, with a hint', async (t) => {
  const { poolId, writer, follow } = await scene(t, 'refused')
  for (const statement of ['truncate users', 'truncate users, part_changes']) {
    await t.rejects(writer.unsafe(statement), { code: '0A000', hint: /delete from users/ }, statement)
  }
  await t.rejects(writer`insert into users (pool_id, username, email) values (2147483647, 'x', 'x@test')`, {
    code: '23503',
  })
  await writer`insert into users (pool_id, username, email) values (${poolId}, 'x', 'x@test')`
  await t.rejects(writer`update users set pool_id = 1 where pool_id = ${poolId}`, { code: '23514', hint: /other pool/ })
  t.match((await follow(t)).counts, { added: 1 })
})

t.test('session settings of a writer do not affect the state', async (t) => {
  const { poolId, writer, follow } = await scene(t, 'settings')
  const settings: [name: string, ...values: string[]][] = [
    ['TimeZone', 'Asia/Kathmandu', 'America/St_Johns', 'UTC'],
    ['DateStyle', 'German, DMY', 'SQL, MDY'],
    ['IntervalStyle', 'sql_standard', 'iso_8601'],
    ['search_path', '', 'pg_catalog', 'pg_temp, public'],
    ['lc_messages', 'C', 'POSIX'],
    ['lc_monetary', 'C.UTF-8'],
    ['lc_numeric', 'C.UTF-8'],
    ['lc_time', 'C.UTF-8'],
    ['bytea_output', 'escape'],
    ['extra_float_digits', '-15'],
    ['client_encoding', 'LATIN1'],
    ['standard_conforming_strings', 'off'],
    ['quote_all_identifiers', 'on'],
    ['plan_cache_mode', 'force_generic_plan'],
    ['default_transaction_isolation', 'serializable', 'repeatable read'],
  ]
  // Functions that shadow those of PostgreSQL, for settings in which search_path finds them first.
  await writer.unsafe(`
    create function public.to_char(timestamptz, text) returns text language sql as 'select ''forged''';
    create function public.line_digest(text) returns bit(256) language sql as 'select 0::bit(256)';
    create function public.currval(text) returns bigint language sql as 'select 1::bigint'`)
  settings.push(['search_path', 'public, pg_catalog'])
  let n = 0
  for (const [name, ...values] of settings) {
    for (const value of values) {
      await writer`select set_config(${name}, ${value}, false)`
      const user = `user${++n}`
      await writer`
        insert into usersync.users (pool_id, username, email, custom_attributes, created_at)
        values (${poolId}, ${user}, ${`${user}@example.com`}, '{"f": 1.10, "d": "2020-01-01"}', '2020-07-01 12:00:00.123456+02')`
      await writer`update usersync.users set role = ${user} where pool_id = ${poolId} and username <> ${user}`
      const { counts } = await follow(t)
      t.match(counts, { added: 1, updated: n - 1, deleted: 0 }, `${name} = ${value}`)
      await writer.unsafe(`reset ${name}`)
    }
  }
  const [line] =
    await sql`select count(*)::int as count from users where pool_id = ${poolId} and created_at = '2020-07-01T10:00:00.123456Z'`
  t.same(line, { count: n }, 'every time is the one that was written')
})

t.test('a forged marker of the capturing transaction is harmless', async (t) => {
  const { poolId, writer, follow } = await scene(t, 'forged')
  const insert = (name: string) =>
    writer`insert into users (pool_id, username, email) values (${poolId}, ${name}, ${`${name}@test`})`
  const mark = (value: string) => writer`select set_config('usersync.capturing_transaction', ${value}, false)`
  await insert('before')
  t.match((await follow(t)).counts, { added: 1 })
  const [previous] = await writer`select pg_current_xact_id()::text as id`
  for (const value of ['on', '1', '', String(previous?.['id']), 'null']) {
    await mark(value)
    await insert(`with ${value}`)
    t.match((await follow(t)).counts, { added: 1, updated: 0, deleted: 0 }, `set to ${JSON.stringify(value)}`)
  }
  await writer`begin`
  await writer`select set_config('usersync.capturing_transaction', pg_current_xact_id()::text, true)`
  await insert('with its own id').catch(() => {})
  await writer`commit`
  await follow(t) // a writer that forges the current id may cause a full export, but never a wrong one
  await insert('afterwards')
  t.match((await follow(t)).counts, { added: 1, updated: 0, deleted: 0 })
})

const STATEMENTS = sized(300, 3_000)

t.test('a transaction of many statements is one version and commits in time', async (t) => {
  const { poolId, writer, follow } = await scene(t, 'many statements')
  await writer.unsafe(`do $$ begin
    for n in 1..${STATEMENTS} loop
      insert into users (pool_id, username, email) values (${poolId}, 'many' || n, 'many' || n || '@test');
    end loop;
  end $$`)
  t.match((await follow(t)).counts, { added: STATEMENTS })
  /** Returns the rows that the statements and the capture have read. */
  const update = async (count: number) => {
    await writer`begin`
    await writer.unsafe(`do $$ begin
      for n in 1..${count} loop
        update users set role = role || '+' where pool_id = ${poolId} and username = 'many' || n;
      end loop;
    end $$`)
    await writer`set constraints all immediate`
    const [row] = await writer<{ rows: number }[]>`
      select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as rows from pg_stat_xact_user_tables
      where schemaname = 'usersync'`
    await writer`commit`
    return row?.rows ?? 0
  }
  const few = await update(STATEMENTS / 10)
  t.match((await follow(t)).counts, { updated: STATEMENTS / 10 })
  const many = await update(STATEMENTS)
  // Ten times the statements read ten times the rows; a hundred times if each one read those before it.
  t.ok(few >= STATEMENTS / 10 && many < 20 * few, `${few} and ${many} rows`)
  t.match((await follow(t)).counts, { added: 0, updated: STATEMENTS, deleted: 0 })
  t.equal(await versionOf(poolId), 3)
})
