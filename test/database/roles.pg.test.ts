import { randomBytes } from 'node:crypto'
import type { Sql } from 'postgres'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { migrate } from '../../src/database/migrate.ts'
import { checkConnectionBudget } from '../../src/database/prepare.ts'
import { emptyDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

/* Roles and schemas as administrators create them. */

/** A role without rights, an empty database, and an administrator connection. */
async function scene(t: Test) {
  const url = await emptyDatabase()
  const name = `role_${randomBytes(6).toString('hex')}`
  const database = new URL(url).pathname.slice(1)
  const admin = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await admin.unsafe(`create role ${name} login password '${name}'; revoke create on database ${database} from public`)
  t.teardown(async () => {
    await admin.unsafe(`drop owned by ${name} cascade; drop role ${name}`)
    await admin.end()
  })
  const roleUrl = Object.assign(new URL(url), { username: name, password: name }).href
  const openAs = (url: string): Sql => {
    const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
    t.teardown(() => sql.end())
    return sql
  }
  return { admin, url, name, database, roleUrl, open: () => openAs(roleUrl) }
}

t.test('owning the schema is enough: migrate needs no CREATE on the database', async (t) => {
  const { admin, name, roleUrl, open } = await scene(t)
  await admin.unsafe(`create schema usersync authorization ${name}`)
  await migrate(roleUrl, 'usersync')
  await migrate(roleUrl, 'usersync')
  await open()`insert into users (username, email) values ('one', 'one@example.com')`
})

t.test('an up-to-date schema needs no right to create anything', async (t) => {
  const { admin, url, name, roleUrl } = await scene(t)
  await migrate(url, 'usersync')
  await admin.unsafe(
    `grant usage on schema usersync to ${name}; grant select on all tables in schema usersync to ${name}`,
  )
  await migrate(roleUrl, 'usersync')
})

t.test('a missing schema without the right to create it is one line that says what to do', async (t) => {
  const { name, roleUrl } = await scene(t)
  await t.rejects(migrate(roleUrl, 'usersync'), {
    message: new RegExp(`^${name} may not create .*create schema usersync authorization ${name}`),
  })
})

t.test('a schema with tables of another program is rejected, with their names', async (t) => {
  const { admin, url } = await scene(t)
  await admin`create schema usersync`
  await admin`create table usersync.users (id int)`
  await t.rejects(migrate(url, 'usersync'), {
    message: 'the schema usersync contains tables of another program (users): name another one with DB_SCHEMA',
  })
})

t.test('a schema owned by another role, or open to PUBLIC, is rejected', async (t) => {
  const { admin, name, roleUrl } = await scene(t)
  const stranger = `${name}_stranger`
  await admin.unsafe(`create role ${stranger}; create schema usersync authorization ${stranger}`)
  t.teardown(() => admin.unsafe(`drop owned by ${stranger} cascade; drop role ${stranger}`))
  await admin.unsafe(`grant all on schema usersync to ${name}`)
  await t.rejects(migrate(roleUrl, 'usersync'), { message: `the schema usersync belongs to ${stranger}: name another` })
  await admin.unsafe(`grant ${stranger} to ${name}`)
  await admin.unsafe('grant create on schema usersync to public')
  await t.rejects(migrate(roleUrl, 'usersync'), { message: 'every role may create objects in the schema usersync' })
  await admin.unsafe('revoke create on schema usersync from public')
  await migrate(roleUrl, 'usersync')
})

t.test('the connection budget is checked against the lowest of three limits', async (t) => {
  const { admin, name, database, open } = await scene(t)
  const sql = open()
  const check = (needed: number) => checkConnectionBudget(sql, needed, 'DATABASE_CONNECTIONS')
  await check(20)
  await t.rejects(check(10_000), { message: /max_connections allows \d+: lower/ })
  await admin.unsafe(`alter role ${name} connection limit 15`)
  await t.rejects(check(20), {
    message: `the CONNECTION LIMIT of the role ${name} allows 15: lower the settings or raise the limit`,
  })
  await admin.unsafe(`alter database ${database} connection limit 12`)
  await t.rejects(check(20), {
    message: `the CONNECTION LIMIT of the database ${database} allows 12: lower`,
  })
  await check(12)
})

t.test('settings of the role, the database and the URL do not change results', async (t) => {
  const { admin, name, database, roleUrl } = await scene(t)
  await admin.unsafe(`create schema usersync authorization ${name}`)
  // As PostgreSQL prints them, but for spaces: the test compares.
  const settings: Record<string, string> = {
    default_transaction_isolation: 'serializable',
    default_transaction_read_only: 'on',
    bytea_output: 'escape',
    DateStyle: 'German,DMY',
    IntervalStyle: 'iso_8601',
    TimeZone: 'Asia/Kathmandu',
    statement_timeout: '1ms',
    idle_session_timeout: '1ms',
    extra_float_digits: '-5',
    array_nulls: 'off',
    standard_conforming_strings: 'off',
    search_path: 'pg_catalog',
    row_security: 'on',
  }
  const [version] = await admin<{ number: number }[]>`select current_setting('server_version_num')::int as number`
  // Unlike the other timeouts, this one cannot be part of the startup message, because older servers reject it. So it applies to
  // the statement that turns it off.
  if ((version?.number ?? 0) >= 170_000) settings['transaction_timeout'] = '1min'
  for (const [setting, value] of Object.entries(settings)) {
    await admin.unsafe(`alter role ${name} set ${setting} = '${value}'`)
    await admin.unsafe(`alter database ${database} set ${setting} = '${value}'`)
  }
  const options = Object.entries(settings).map(([setting, value]) => `-c ${setting}=${value}`)
  for (const url of [roleUrl, `${roleUrl}?options=${encodeURIComponent(options.join(' '))}`]) {
    await migrate(url, 'usersync')
    const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
    t.teardown(() => sql.end())
    const names = Object.keys(settings)
    const found = await sql<{ name: string; value: string }[]>`
      select name, current_setting(name) as value from unnest(${names}::text[]) name`
    for (const { name, value } of found) t.not(value.replaceAll(' ', ''), settings[name], name)
    const [row] = await sql`select '\\x00ff'::bytea as bytes, timestamptz '2020-02-29 23:59:59.5Z' as at`
    t.same(row, { bytes: Buffer.from([0, 255]), at: '2020-02-29 23:59:59.5+00' })
  }
})
