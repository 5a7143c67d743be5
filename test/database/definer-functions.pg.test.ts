import { randomBytes } from 'node:crypto'
import type { Sql } from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { sqlState } from '../../src/database/sqlstate.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * Trigger functions that run with the rights of their owner (`security definer`). In PostgreSQL, any role with EXECUTE
 * can attach such a function to its own table, with its own types and casts.
 */

const PERMISSION_DENIED = '42501'
const WRONG_TABLE = '42809'

const url = await testDatabase()
const owner = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
t.teardown(() => owner.end())

/** Creates a role with LOGIN and `usage` on the schema, and connects as it. Both are removed at the end of `t`. */
async function connectAsGuest(t: Test, ...grants: string[]): Promise<Sql> {
  const name = `guest_${randomBytes(6).toString('hex')}`
  await owner.unsafe(`create role ${name} login password '${name}'`)
  await owner.unsafe(['usage on schema usersync', ...grants].map((grant) => `grant ${grant} to ${name};`).join(' '))
  const guestUrl = Object.assign(new URL(url), { username: name, password: name }).href
  const guest = connect({ url: guestUrl, schema: 'usersync', connections: 1, name: 'guest' })
  t.teardown(async () => {
    await guest.end()
    await owner.unsafe(`drop owned by ${name} cascade; drop role ${name}`)
  })
  return guest
}

const stateOf = async (statement: PromiseLike<unknown>) =>
  sqlState(await Promise.resolve(statement).catch((error: unknown) => error))

t.test('no security definer function and no trigger function can be executed by PUBLIC', async (t) => {
  const functions = await owner<{ name: string; is_open: boolean; is_definer: boolean; path: string | null }[]>`
    select oid::regprocedure::text as name, has_function_privilege('public', oid, 'execute') as is_open,
      prosecdef as is_definer,
      (select substr(setting, length('search_path=') + 1) from unnest(proconfig) setting
        where setting like 'search\_path=%') as path
    from pg_proc
    where pronamespace = 'usersync'::regnamespace and (prosecdef or prorettype = 'trigger'::regtype)`
  t.ok(functions.filter(({ is_definer }) => is_definer).length >= 5)
  for (const { name, is_open, is_definer, path } of functions) {
    t.equal(is_open, false, `${name}: EXECUTE is revoked from PUBLIC`)
    if (is_definer) t.match(path, /^\W*usersync\W*, \W*pg_temp\W*$/, `${name}: search_path ends in pg_temp`)
  }
})

t.test('a security definer function rejects every table but its own, even for the owner', async (t) => {
  const functions = await owner<{ name: string }[]>`
    select proname as name from pg_proc
    where pronamespace = 'usersync'::regnamespace and prosecdef and prorettype = 'trigger'::regtype`
  const sql = await owner.reserve()
  for (const { name } of functions) {
    await sql`create temp table bait (like usersync.users)`
    await sql.unsafe(
      `create trigger bite before insert or update on bait for each row execute function usersync.${name}()`,
    )
    t.equal(await stateOf(sql`insert into bait (username, email) values ('a', 'a@example.com')`), WRONG_TABLE, name)
    await sql`drop table bait`
  }
  sql.release()
})

t.test('a role with usage on the schema cannot become its owner through its own cast', async (t) => {
  const guest = await connectAsGuest(t)
  const [before] = await guest<{ me: string }[]>`select current_user as me`
  await guest.unsafe(`
    create type pg_temp.evil as (x bigint);
    create function pg_temp.pay(bigint) returns pg_temp.evil language plpgsql as $$ begin
      execute 'alter role ${before?.me} superuser'; return row($1)::pg_temp.evil; end $$;
    create cast (bigint as pg_temp.evil) with function pg_temp.pay(bigint) as assignment;
    create temp table bait (commit_id pg_temp.evil, entered_commit_id pg_temp.evil)`)
  for (const name of ['begin_commit', 'stamp_insert']) {
    const kind = name === 'begin_commit' ? 'statement' : 'row'
    const trigger = guest.unsafe(
      `create trigger ${name} before insert on bait for each ${kind} execute function usersync.${name}()`,
    )
    t.equal(await stateOf(trigger), PERMISSION_DENIED, name)
  }
  await guest`insert into bait values (null, null)`
  const [after] = await owner`select rolsuper from pg_roles where rolname = ${before?.me ?? ''}`
  t.same(after, { rolsuper: false })
})

t.test('a role with usage on the schema cannot forge the states of a pool', async (t) => {
  const guest = await connectAsGuest(t, 'select on usersync.users', 'usage on sequence usersync.commit_ids')
  await guest`create temp table forged (like usersync.users including defaults)`
  const trigger = guest`
    create trigger forge after insert on forged referencing new table as new_rows
    for each statement execute function usersync.capture_insert()`
  t.equal(await stateOf(trigger), PERMISSION_DENIED)
  await guest`select nextval('commit_ids')` // the defaults read its current value
  await guest`insert into forged (username, email) select n, n || '@example.com' from generate_series(1, 1000) n`
  t.same(await owner`select coalesce(sum(user_count), 0)::int as users from scopes`, [{ users: 0 }])
})

t.test('a writer with the grants in docs/users.md can write, and its writes are captured', async (t) => {
  const writer = await connectAsGuest(
    t,
    'usage on sequence usersync.commit_ids',
    'select, insert, update, delete on usersync.users',
  )
  await writer`insert into users (username, email) values ('one', 'one@example.com'), ('two', 'two@example.com')`
  await writer`update users set role = 'changed' where username = 'one'`
  await writer`delete from users where username = 'two'`
  const [scope] = await owner`
    select version, user_count from scopes where pool_id = 1 and not test_users_only and not bulk_users_only`
  t.same(scope, { version: '3', user_count: '1' })
})
