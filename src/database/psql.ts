import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { type DatabaseAddress, parseDatabaseUrl } from './database-url.ts'
import { findEmbeddedDatabase } from './embedded/embedded.ts'

/** psql cannot run. The message says what to do. */
export class PsqlError extends Error {
  override name = 'PsqlError'
}

interface Database {
  /** Empty for the embedded PostgreSQL in `dataDir`. */
  databaseUrl: string
  dataDir: string
  schema: string
}

/**
 * Runs psql with `args` on the database of the service, which must be running if it is the embedded one, with `schema` as the search
 * path. Returns the exit code of psql. Throws PsqlError.
 */
export async function runPsql({ databaseUrl, dataDir, schema }: Database, args: string[]): Promise<number> {
  const url = databaseUrl || (await findEmbeddedDatabase(dataDir))
  if (!url) {
    throw new PsqlError(
      `no embedded PostgreSQL runs on ${dataDir}: start the service with this DATA_DIR, or set DATABASE_URL`,
    )
  }
  const env = { ...process.env, ...psqlEnvironment(parseDatabaseUrl(url), schema) }
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const psql = spawn('psql', args, { stdio: 'inherit', env })
  psql.on('error', (cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'ENOENT' ? 'is not installed' : `cannot run (${cause.code})`
    const advice = 'install the client of PostgreSQL, such as postgresql-client of Debian or libpq of Homebrew'
    reject(new PsqlError(`psql ${reason}: ${advice}`, { cause }))
  })
  psql.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGTERM']))
  process.on('SIGINT', () => {}) // the terminal sends Ctrl-C to psql too, which cancels its query
  process.on('SIGTERM', () => psql.kill())
  return await promise
}

/**
 * Returns the variables of libpq for `address`: https://www.postgresql.org/docs/current/libpq-envars.html. Every user of the machine
 * can read the arguments of a program, but not its environment. What the address omits stays as the caller's environment says, as for
 * the service, which ignores PGSERVICE and PGHOSTADDR.
 */
export function psqlEnvironment(address: DatabaseAddress, schema: string): Record<string, string | undefined> {
  const { hosts, user, password, database, sslMode, connectTimeoutSeconds, options = '' } = address
  const variables = {
    PGHOST: hosts.map(({ host }) => host).join() || undefined,
    PGPORT: hosts.map(({ port }) => port).join() || undefined,
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
    PGSSLMODE: sslMode,
    PGSSLNEGOTIATION: address.sslNegotiation === 'direct' ? 'direct' : undefined,
    PGSSLROOTCERT: address.sslRootCert ?? (sslMode === 'verify-full' ? 'system' : undefined),
    PGSSLCERT: address.sslCert,
    PGSSLKEY: address.sslKey,
    PGREQUIREAUTH: address.requireScram ? 'scram-sha-256' : undefined,
    PGCONNECT_TIMEOUT: connectTimeoutSeconds?.toString(),
    PGTARGETSESSIONATTRS: address.requirePrimary ? 'read-write' : undefined,
    PGOPTIONS: `${options} -c search_path=${schema},pg_temp`.trim(),
  }
  const set = Object.entries(variables).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(set), PGSERVICE: undefined, PGHOSTADDR: undefined }
}
