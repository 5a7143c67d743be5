import type { Sql } from 'postgres'
import { connect, requirePatchedDriver } from './connection.ts'
import { describeAddress, parseDatabaseUrl } from './database-url.ts'
import { startEmbeddedDatabase } from './embedded/embedded.ts'
import { makeDataDir } from './embedded/embedded-place.ts'
import { migrate, requireMigrated } from './migrate.ts'
import { requireProtection } from './protection.ts'
import { isConnectionLimit, isDatabaseUnavailable, PROTOCOL_VIOLATION, sqlState } from './sqlstate.ts'

interface DatabaseSettings {
  /** Empty for the embedded PostgreSQL in `dataDir`. */
  databaseUrl: string
  dataDir: string
  schema: string
  schemaMode: 'always' | 'embedded' | 'never'
}

/** A database with the schema of this program. */
export interface PreparedDatabase extends AsyncDisposable {
  url: string
  /** The folder of the embedded PostgreSQL; undefined for another server. */
  embeddedIn: string | undefined
}

/**
 * Returns the configured database, or starts the embedded one, and creates or upgrades its schema as SCHEMA_MODE says.
 * Checks that users that are not test users are protected. The caller must dispose of it, which releases the embedded
 * database. Throws the error of the database, or an Error that says what to do.
 */
export async function prepareDatabase({
  databaseUrl,
  dataDir,
  schema,
  schemaMode,
}: DatabaseSettings): Promise<PreparedDatabase> {
  requirePatchedDriver() // before a database is created
  const embedded = databaseUrl === '' ? await startEmbeddedDatabase({ dataDir }) : undefined
  if (!embedded) await makeDataDir(dataDir)
  const url = embedded?.url ?? databaseUrl
  const leave = async () => embedded?.stop()
  try {
    await requireUsable(url, schema)
    if (schemaMode === 'always' || (schemaMode === 'embedded' && embedded)) await migrate(url, schema)
    else await requireMigrated(url, schema)
    await requireProtection(url, schema)
  } catch (error) {
    await leave()
    throw error
  }
  return { url, embeddedIn: embedded?.directory, [Symbol.asyncDispose]: leave }
}

/**
 * Checks that PostgreSQL is reachable and no standby, and that each connection is a separate session with its own settings. A
 * transaction pooler shares sessions and would lose them: queries would use another schema, non-test users would not be
 * protected, and locks and LISTEN would not work. Throws an Error that says what is wrong.
 */
async function requireUsable(url: string, schema: string): Promise<void> {
  const sql = connect({ url, schema, connections: 2, name: 'usersync start', isService: true })
  try {
    const pids = []
    for (const session of [await sql.reserve(), await sql.reserve()]) {
      const [found] = await session<{ pid: number; path: string; service: string | null; is_standby: boolean }[]>`
        select pg_backend_pid() as pid, current_setting('search_path') as path,
          current_setting('usersync.service', true) as service, pg_is_in_recovery() as is_standby`
      if (found?.path.replaceAll('"', '') !== `${schema}, pg_temp` || found.service !== 'on') {
        throw poolerError('that drops the settings of a session')
      }
      if (found.is_standby) {
        throw new Error(
          `PostgreSQL at ${describeAddress(parseDatabaseUrl(url))} is a standby, which takes no writes: give DATABASE_URL the address of the primary, or all hosts (host1,host2), of which the service uses the primary. READ_DATABASE_URL is for standbys`,
        )
      }
      pids.push(found.pid)
    }
    if (pids[0] === pids[1]) throw poolerError('that shares sessions among connections')
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    if (isConnectionLimit(error)) {
      throw new Error(
        'PostgreSQL has no free connection: close others, or raise max_connections or the CONNECTION LIMIT of the role or database',
        { cause: error },
      )
    }
    if (sqlState(error) === PROTOCOL_VIOLATION && /startup parameter/.test(message)) {
      throw poolerError(`that refuses the settings of a session (${message})`)
    }
    const server = `PostgreSQL at ${describeAddress(parseDatabaseUrl(url))}`
    if (code === 'CONNECTION_WAIT_TIMEOUT' || code === 'CONNECT_TIMEOUT') {
      throw new Error(`${server} accepts no connection: check that it runs, and DATABASE_URL`, { cause: error })
    }
    if (REFUSED_LOGIN.test(sqlState(error) ?? '')) {
      throw new Error(`${server} refuses the login (${message}): check DATABASE_URL`, { cause: error })
    }
    if (isDatabaseUnavailable(error) && sqlState(error) === undefined) {
      throw new Error(`${server} cannot be reached (${message}): check that it runs, and DATABASE_URL`, {
        cause: error,
      })
    }
    throw error
  } finally {
    await sql.end({ timeout: 0 })
  }
}

/** The user, its password, or the database is wrong. */
const REFUSED_LOGIN = /^(28000|28P01|3D000)$/

const poolerError = (kind: string) =>
  new Error(
    `DATABASE_URL leads to a connection pooler ${kind}, such as PgBouncer with pool_mode = transaction: give the address of PostgreSQL itself`,
  )

interface Limit {
  name: string
  allowed: number
}

/**
 * Checks that PostgreSQL allows the connections that this process may open, the sum of `settings`, by each of its three limits. Throws an
 * Error that names the lowest limit and what to do, so that the service fails at its start and not under load. A
 * superuser has only the limit of the server.
 */
export async function checkConnectionBudget(sql: Sql, needed: number, settings: string): Promise<void> {
  const [lowest] = await sql<Limit[]>`
    select name, allowed
    from pg_roles role
    join pg_database database on database.datname = current_database()
    cross join lateral (values
      ('max_connections', current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int),
      ('the CONNECTION LIMIT of the role ' || role.rolname,
        case when role.rolconnlimit >= 0 and not role.rolsuper then role.rolconnlimit end),
      ('the CONNECTION LIMIT of the database ' || database.datname,
        case when database.datconnlimit >= 0 and not role.rolsuper then database.datconnlimit end)
    ) limits (name, allowed)
    where role.rolname = session_user and allowed is not null
    order by allowed
    limit 1`
  if (!lowest || needed <= lowest.allowed) return
  throw new Error(
    `the service may open ${needed} database connections (${settings}), but ${lowest.name} allows ${lowest.allowed}: lower the settings or raise the limit`,
  )
}
