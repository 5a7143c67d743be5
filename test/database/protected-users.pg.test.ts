import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { prepareDatabase } from '../../src/database/prepare.ts'
import { requireProtection } from '../../src/database/protection.ts'
import { sqlState } from '../../src/database/sqlstate.ts'
import { testDatabase } from '../database.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'

const t = suite()

const url = await testDatabase()
const service = connect({ url, schema: 'usersync', connections: 1, name: 'test', isService: true })
const plain = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
t.teardown(() => Promise.all([service.end(), plain.end()]).then(() => {}))

await plain`
  insert into users (username, email, is_test_user)
  values ('real', 'real@example.com', false), ('made', 'made@example.com', true), ('other', 'other@example.com', true)`
const refused = async (statement: Promise<unknown>) => sqlState(await statement.catch((error) => error))
const names = async () =>
  (await plain<{ username: string }[]>`select username from users order by 1`).map((u) => u.username)

t.test('the service changes and deletes only test users, whatever statement it runs', async (t) => {
  for (const [what, statement] of Object.entries({
    delete: () => service`delete from users`,
    update: () => service`update users set role = 'x'`,
    'marked as a test user first': () => service`update users set is_test_user = true where username = 'real'`,
    'by username': () => service`delete from users where username = 'real'`,
    'through ON CONFLICT': () => service`
      insert into users (username, email) values ('real', 'x@example.com')
      on conflict (pool_id, username) do update set email = excluded.email`,
  })) {
    t.equal(await refused(statement()), 'US001', what)
  }
  t.strictSame(await names(), ['made', 'other', 'real'], 'the test users in those statements still exist')
  t.equal((await service`delete from users where is_test_user and username = 'made'`).count, 1)
})

t.test('plain SQL from other clients can change any user', async (t) => {
  t.equal((await plain`update users set role = 'x' where username = 'real'`).count, 1)
  t.equal((await plain`delete from users where username = 'real'`).count, 1)
})

t.test('a start is refused where the database does not protect them', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const start = async () =>
    (await prepareDatabase(readConfig({ DATABASE_URL: url, DATA_DIR: dataDir })))[Symbol.asyncDispose]()
  const refusal = (what: string) => ({
    message: new RegExp(
      `^users that are not test users are not protected: .* ${what} one\\. Enable the trigger: alter table usersync.users`,
    ),
  })
  const table = async () =>
    await plain`select p.id, u.username from pools p left join users u on u.pool_id = p.id order by 1, 2`
  const before = await table()

  const other = await openTransaction(t, plain)
  await other`select from pools for update` // as while an export is applied to a pool
  await start()
  await other.rollback()
  await Promise.all([start(), start()])

  await plain`alter table users disable trigger a_protect_users`
  await t.rejects(start(), refusal('changes or deletes'))
  await plain`alter table users enable trigger a_protect_users`
  await start()
  await plain`
    create or replace function refuse_change_of_protected_user() returns trigger language plpgsql as $$
    begin
      if tg_op = 'UPDATE' then raise exception 'no' using errcode = 'US001'; end if;
      return old;
    end
    $$`
  await t.rejects(start(), refusal('deletes'))
  await plain`drop trigger a_protect_users on users`
  await t.rejects(start(), refusal('changes or deletes'))
  t.strictSame([...(await table())], [...before], 'the attempts leave nothing behind')
})

t.test('a start that meets a lock on the whole table says who has it', async (t) => {
  const other = await openTransaction(t, plain)
  const [session] = await other<{ pid: number }[]>`select pg_backend_pid() as pid`
  await other`lock table users in share mode` // as CREATE INDEX does
  const elsewhere = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'elsewhere' })
  t.teardown(() => elsewhere.end())
  const unrelated = await openTransaction(t, elsewhere)
  await unrelated`lock table users in share mode` // with the same oid, because both databases have the same template
  await t.rejects(requireProtection(url, 'usersync', 100), {
    message: `the table usersync.users is locked for longer than 0.1 s by test with pid ${session?.pid}: start again when the lock is released`,
  })
})
