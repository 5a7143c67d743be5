import { fileURLToPath } from 'node:url'
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import type { Sql } from 'postgres'
import { applyDistributedForm, distributedFormFaults, isDistributed } from './citus/distributed-form.ts'
import { connect } from './connection.ts'
import { INSUFFICIENT_PRIVILEGE, sqlState } from './sqlstate.ts'

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url))

/** The same constant in every version of the service. */
const MIGRATION_LOCK = 0x7573_7379

/** Services that start at the same time wait for the first one to migrate. */
const MIGRATION_WAIT_MS = 120_000

/**
 * Creates `schema` in the database at `url`, or upgrades it to the version of this program, in one transaction.
 * Services that start together wait for each other on an advisory lock, for at most two minutes. If there is nothing to
 * do, the role needs no right to create anything. Throws an Error that says what to do, or the error of the database.
 */
export async function migrate(url: string, schema: string): Promise<void> {
  const settings = { 'citus.enable_unsafe_triggers': 'on', 'citus.multi_shard_modify_mode': 'sequential' }
  const name = 'usersync migrate'
  const sql = connect({ url, schema, connections: 1, name, lockTimeoutMs: MIGRATION_WAIT_MS, settings })
  try {
    await requireUtf8(sql)
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`
    await createSchema(sql, schema)
    await requireSafeSchema(sql, schema)
    const applied = await latestMigration(sql, schema)
    if (applied === undefined) await requireNoTables(sql, schema)
    else requireKnown(applied, schema)
    const missing = readMigrations().filter(({ folderMillis }) => folderMillis > (applied ?? 0))
    const isChanged = missing.length > 0 || (await hasWrongForm(sql, schema))
    if (isChanged) await applyMigrations(sql, schema, missing)
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
    const [{ me } = { me: 'the role' }] = await sql<{ me: string }[]>`select current_user as me`
    throw new Error(
      `${me} may not create or change the schema ${schema} (${(error as Error).message}): make ${me} its owner (create schema ${schema} authorization ${me}), or set SCHEMA_MODE=never and let its owner migrate it`,
      { cause: error },
    )
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Checks that `schema` has the version of this program, and changes nothing. Throws an Error that says what it found
 * instead.
 */
export async function requireMigrated(url: string, schema: string): Promise<void> {
  const sql = connect({ url, schema, connections: 1, name: 'usersync schema check' })
  try {
    await requireUtf8(sql)
    const applied = await latestMigration(sql, schema)
    if (applied === readMigrations().at(-1)?.folderMillis) {
      if (await hasWrongForm(sql, schema)) throw wrongForm(schema, await distributedFormFaults(sql))
      return
    }
    const found = applied === undefined ? 'does not exist' : 'has another version than this program'
    throw new Error(`the schema ${schema} ${found}, and SCHEMA_MODE does not let this program change it`)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

const wrongForm = (schema: string, names: string[]) =>
  new Error(
    `Citus distributes the schema ${schema}, but ${names.join(', ')} have the form for PostgreSQL: start one process with SCHEMA_MODE=always, which brings the other`,
  )

const readMigrations = () => readMigrationFiles({ migrationsFolder: MIGRATIONS })

/** `create schema if not exists` needs CREATE on the database even if the schema exists. */
async function createSchema(sql: Sql, schema: string): Promise<void> {
  const [found] = await sql`select from pg_namespace where nspname = ${schema}`
  if (!found) await sql`create schema ${sql(schema)}`
}

/**
 * Checks that only trusted roles can create a function or an operator in the schema: the service's definer functions
 * would call it with the rights of their owner. Trusted roles are this role, roles that it is a member of, roles that
 * are members of it, superusers, and the owner of the database, which is the administrator at most providers. Throws an
 * Error that says what to do.
 */
async function requireSafeSchema(sql: Sql, schema: string): Promise<void> {
  const [found] = await sql<{ owner: string; me: string; is_foreign: boolean; is_open: boolean }[]>`
    select owner.rolname as owner, current_user as me,
      not (
        owner.rolsuper
        or pg_has_role(current_user, owner.oid, 'member')
        or pg_has_role(owner.oid, current_user, 'member')
        or owner.oid = (select datdba from pg_database where datname = current_database())
      ) as is_foreign,
      exists (
        select from aclexplode(n.nspacl) acl where acl.grantee = 0 and acl.privilege_type = 'CREATE'
      ) as is_open
    from pg_namespace n
    join pg_roles owner on owner.oid = n.nspowner
    where n.nspname = ${schema}`
  if (found?.is_foreign) {
    throw new Error(
      `the schema ${schema} belongs to ${found.owner}: name another one with DB_SCHEMA, or make ${found.me} its owner`,
    )
  }
  if (found?.is_open) {
    throw new Error(
      `every role may create objects in the schema ${schema}: revoke create on schema ${schema} from public, or name another one with DB_SCHEMA`,
    )
  }
}

/** Returns the time of the last applied migration; undefined if there is none. The table is drizzle's. */
async function latestMigration(sql: Sql, schema: string): Promise<number | undefined> {
  const [table] = await sql<{ is_there: boolean }[]>`
    select to_regclass(quote_ident(${schema}) || '.__drizzle_migrations') is not null as is_there`
  if (!table?.is_there) return undefined
  const [row] = await sql<{ at: string | null }[]>`select max(created_at) as at from __drizzle_migrations`
  return Number(row?.at ?? 0)
}

/** Throws an Error if the schema comes from a version before 1.0.0, whose migrations were other ones. */
function requireKnown(applied: number, schema: string): void {
  const times = readMigrations().map(({ folderMillis }) => folderMillis)
  if (applied > Math.max(...times) || times.includes(applied)) return
  throw new Error(
    `the schema ${schema} is of a development version before 1.0.0, which cannot be upgraded: drop it, or name another one with DB_SCHEMA`,
  )
}

/** Whether Citus distributes the schema, and part of it has the form for PostgreSQL. */
const hasWrongForm = async (sql: Sql, schema: string) =>
  (await isDistributed(sql, schema)) && (await distributedFormFaults(sql)).length > 0

async function applyMigrations(sql: Sql, schema: string, migrations: MigrationMeta[]): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`
      create table if not exists __drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`
    for (const { sql: statements, hash, folderMillis } of migrations) {
      for (const statement of statements) if (statement.trim() !== '') await transaction.unsafe(statement)
      await transaction`insert into __drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`
    }
    if (await isDistributed(transaction, schema)) await applyDistributedForm(transaction)
  })
}

/**
 * Otherwise tables of another program would abort the migration half-way, with an error that names only the first
 * conflict.
 */
async function requireNoTables(sql: Sql, schema: string): Promise<void> {
  const [found] = await sql<{ names: string | null }[]>`
    select string_agg(relname, ', ' order by relname) as names
    from (
      select relname from pg_class
      where relnamespace = (select oid from pg_namespace where nspname = ${schema}) and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      order by relname limit 5
    ) first`
  if (found?.names) {
    throw new Error(
      `the schema ${schema} contains tables of another program (${found.names}): name another one with DB_SCHEMA`,
    )
  }
}

/** Other encodings cannot store some names: SQL_ASCII, which initdb uses without a locale, rejects `\u2028` in JSON. */
async function requireUtf8(sql: Sql): Promise<void> {
  const [row] = await sql<{ server_encoding: string }[]>`show server_encoding`
  if (row?.server_encoding === 'UTF8') return
  throw new Error(
    `the database has the encoding ${row?.server_encoding}, and must have UTF8: create database … encoding 'UTF8' template template0`,
  )
}
