import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Sql } from 'postgres'
import { connect } from '../src/database/connection.ts'
import { startEmbeddedDatabase } from '../src/database/embedded/embedded.ts'
import { migrate } from '../src/database/migrate.ts'
import { type Client, openClient } from './bench-client.ts'
import type { BenchOptions } from './bench-options.ts'
import type { Progress } from './bench-progress.ts'
import { type ServiceProcess, startServiceProcess } from './bench-service.ts'
import { within } from './demo-deadline.ts'

/** The maximum number of worker threads that a section may use. */
export const MAX_WORKERS = 4

const SCHEMA = 'usersync'

/** What a section uses for its measurements. */
export interface Surroundings {
  options: BenchOptions
  /** For files. Removed at the end. */
  folder: string
  databaseUrl: string
  /** A connection to the service's database that the service does not use. */
  sql: Sql
  address: string
  /** The process id of the service. */
  pid: number
  client: Client
  progress: Progress
  /** Opens another connection to the service's database. The caller closes it. */
  openConnection(): Sql
  /** Runs `task` for at most `seconds`, or until the benchmark is stopped. */
  within<Result>(seconds: number, what: string, task: (signal: AbortSignal) => Promise<Result>): Promise<Result>
}

/**
 * Starts a PostgreSQL server with the service's own settings (so a commit waits for the disk), and the service on it.
 * Everything to undo is put on `cleanup`, even if a later step throws. If the service exits, `halt` is aborted.
 */
export async function startSurroundings(
  options: BenchOptions,
  progress: Progress,
  cleanup: AsyncDisposableStack,
  halt: AbortController,
): Promise<Surroundings & { complaints: ServiceProcess['complaints'] }> {
  progress('starting PostgreSQL and the service')
  const folder = await mkdtemp(join(tmpdir(), 'usersync-bench-'))
  cleanup.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  await chmod(folder, 0o755) // root runs PostgreSQL as another user
  const database = await startEmbeddedDatabase({ dataDir: folder })
  // If PostgreSQL's user cannot access the temporary folder, the data are in a separate one.
  cleanup.defer(() => rm(dirname(database.directory), { recursive: true, force: true, maxRetries: 5 }))
  cleanup.defer(() => database.stop())
  await migrate(database.url, SCHEMA)

  halt.signal.throwIfAborted()
  const service = startServiceProcess({
    HOST: '127.0.0.1',
    PORT: '0',
    DATABASE_URL: database.url,
    DB_SCHEMA: SCHEMA,
    DATA_DIR: folder,
    MAX_WORKERS: String(MAX_WORKERS),
    MAX_BATCH_USERS: String(Math.max(options.users, options.listed)),
  })
  cleanup.defer(() => service.stop())
  void service.ended.then((reason) => halt.abort(new Error(reason)))
  const address = await within(60, 'start of the service', () => service.listening, halt.signal)
  const openConnection = () =>
    connect({ url: database.adminUrl, schema: SCHEMA, connections: 1, name: 'usersync bench' })
  const sql = openConnection()
  cleanup.defer(() => sql.end({ timeout: 5 }))
  return {
    options,
    folder,
    databaseUrl: database.url,
    sql,
    address,
    pid: service.pid,
    client: cleanup.use(openClient(address)),
    progress,
    openConnection,
    within: (seconds, what, task) => within(seconds, what, task, halt.signal),
    complaints: service.complaints,
  }
}
