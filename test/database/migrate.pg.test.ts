import { connect } from '../../src/database/connection.ts'
import { migrate } from '../../src/database/migrate.ts'
import { databaseUrl, onServer } from '../cluster.ts'
import { emptyDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

const url = await emptyDatabase()

/** A connection to one schema, closed at the end of `t`. */
function connectTo(schema: string) {
  const sql = connect({ url, schema, connections: 2, name: 'test' })
  t.teardown(() => sql.end())
  return sql
}

/** The contents of a schema: relations, columns, functions, triggers, and applied migrations. */
async function describe(schema: string) {
  const sql = connectTo(schema)
  return await sql`
    select 'relation' as kind, relname || ' ' || relkind::text || relpersistence::text as what from pg_class
      where relnamespace = ${schema}::regnamespace
    union all
    select 'column', table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' ||
        coalesce(replace(column_default, ${`${schema}.`}, ''), '')
      from information_schema.columns where table_schema = ${schema}
    union all
    select 'function', proname || ' ' || pg_get_function_identity_arguments(oid) from pg_proc where pronamespace = ${schema}::regnamespace
    union all
    select 'trigger', t.tgname || ' ' || t.tgenabled::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = ${schema}::regnamespace and not t.tgisinternal
    union all
    select 'migration', hash from "__drizzle_migrations"
    order by 1, 2`
}

t.test('migrate creates everything in an empty database, and nothing the second time', async (t) => {
  await migrate(url, 'usersync')
  const first = await describe('usersync')
  t.ok(first.filter(({ kind }) => kind === 'migration').length >= 3)
  const sql = connectTo('usersync')
  await sql`insert into users (username, email) values ('kept', 'kept@example.com')`
  await migrate(url, 'usersync')
  t.strictSame([...(await describe('usersync'))], [...first])
  t.same(await sql`select username from users`, [{ username: 'kept' }])
})

t.test('a schema of a development version is refused, and one of a later version is used', async (t) => {
  await migrate(url, 'versions')
  const sql = connectTo('versions')
  await sql`insert into __drizzle_migrations (hash, created_at) select 'later', max(created_at) + 1 from __drizzle_migrations`
  await migrate(url, 'versions')
  await sql`update __drizzle_migrations set created_at = 1790000000000 + id`
  await t.rejects(migrate(url, 'versions'), /versions is of a development version .* DB_SCHEMA/)
})

t.test('services that start at once wait for each other', async (t) => {
  await Promise.all([1, 2, 3].map(() => migrate(url, 'at_once')))
  const [mine, usual] = [await describe('at_once'), await describe('usersync')]
  t.strictSame([...mine], [...usual])
})

t.test('a database with another encoding is rejected before anything is created in it', async (t) => {
  const name = `${new URL(url).pathname.slice(1)}_ascii`
  await onServer(url, (sql) => sql`create database ${sql(name)} encoding 'SQL_ASCII' locale 'C' template template0`)
  t.teardown(() => onServer(url, (sql) => sql`drop database ${sql(name)} with (force)`))
  const ascii = databaseUrl(url, name)
  await t.rejects(migrate(ascii, 'usersync'), { message: /has the encoding SQL_ASCII, and must have UTF8/ })
  await onServer(ascii, async (sql) => {
    t.strictSame([...(await sql`select nspname from pg_namespace where nspname = 'usersync'`)], [])
  })
})

t.test('two schemas in one database are two separate services', async (t) => {
  await migrate(url, 'other_name')
  const [one, other] = [connectTo('usersync'), connectTo('other_name')]
  const states = (sql: typeof one) =>
    sql`select version, user_count from scopes where not test_users_only and not bulk_users_only`
  const before = await states(one)
  await other`insert into users (username, email) values ('kept', 'kept@example.com'), ('more', 'more@example.com')`
  t.same(await states(other), [{ version: '1', user_count: '2' }])
  t.same(await states(one), before, 'the other schema is unchanged')
  await other.begin(async (tx) => {
    await tx`insert into usersync.users (username, email) values ('both', 'both@example.com')`
    await tx`insert into other_name.users (username, email) values ('both', 'both@example.com')`
  })
  t.same(await states(other), [{ version: '2', user_count: '3' }], 'one transaction can write to both')
  const history =
    await other`select version from states where not test_users_only and not bulk_users_only order by version`
  t.same(history, [{ version: '1' }, { version: '2' }], 'and is one commit in each')
  t.equal((await states(one))[0]?.['user_count'], String(Number(before[0]?.['user_count']) + 1))
})

t.test('migrate reports a missing database', async (t) => {
  const nowhere = Object.assign(new URL(url), { pathname: '/no_such_database' }).href
  await t.rejects(migrate(nowhere, 'usersync'), { code: '3D000' })
})
