import { fileURLToPath } from 'node:url'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import type { Sql } from 'postgres'
import { connect } from './connection.ts'
import { drizzle } from './drizzle.ts'

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url))

/** Any constant serves, as long as every version of the service takes the same. */
const MIGRATION_LOCK = 0x7573_7379

/** Services that start at the same time wait for the migration of the first. */
const MIGRATION_WAIT_MS = 120_000

/**
 * Brings `schema` (made if missing) of the database at `url` to the version of this program, in one transaction. Services
 * that start at once wait for each other on an advisory lock, at most two minutes; the later ones find nothing to do.
 * Throws an Error where the database is not UTF-8, the database's own where it cannot do its part.
 */
export async function migrate(url: string, schema: string): Promise<void> {
  const sql = connect({ url, schema, connections: 1, name: 'usersync migrate', lockTimeoutMs: MIGRATION_WAIT_MS })
  try {
    await requireUtf8(sql)
    await sql`select pg_advisory_lock(${MIGRATION_LOCK})`
    await sql`create schema if not exists ${sql(schema)}`
    await applyMigrations(drizzle(sql), { migrationsFolder: MIGRATIONS, migrationsSchema: schema })
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/**
 * Makes sure that `schema` is of the version of this program, and changes nothing. Throws an Error that says what is there
 * instead.
 */
export async function requireMigrated(url: string, schema: string): Promise<void> {
  const sql = connect({ url, schema, connections: 1, name: 'usersync schema check' })
  try {
    await requireUtf8(sql)
    const [table] = await sql<{ is_there: boolean }[]>`
      select to_regclass(quote_ident(${schema}) || '.__drizzle_migrations') is not null as is_there`
    const [row] = table?.is_there
      ? await sql<{ at: string }[]>`select max(created_at) as at from __drizzle_migrations`
      : []
    const [latest] = readMigrationFiles({ migrationsFolder: MIGRATIONS }).slice(-1)
    if (Number(row?.at ?? 0) === latest?.folderMillis) return
    const found = row ? 'is of another version than this program' : 'is not there'
    throw new Error(`the schema ${schema} ${found}, and SCHEMA_MODE keeps this program from changing it`)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** In any other encoding some names could not be kept: SQL_ASCII, what initdb makes without a locale, refuses `\u2028` in JSON. */
async function requireUtf8(sql: Sql): Promise<void> {
  const [row] = await sql<{ server_encoding: string }[]>`show server_encoding`
  if (row?.server_encoding === 'UTF8') return
  throw new Error(
    `the database is encoded in ${row?.server_encoding}, and must be UTF8: create database … encoding 'UTF8' template template0`,
  )
}
