import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { findPostmaster } from '../src/database/embedded/embedded-postmaster.ts'

/** The PostgreSQL server of one test run. */
export interface TestCluster {
  /** The test runner's process. */
  runner: number
  /** Start time, in milliseconds since 1970. */
  startedAt: number
  /** The database on which statements such as `create database` run. Absent until the server is up. */
  url?: string
  /** The folder with the logs and error responses of this run; see run-record.ts. */
  record?: string
  /** The migrated database that the test files clone. The names of the clones begin with its name. */
  template: string
  /** Absent if the server is not ours (TEST_DATABASE_URL). */
  dataDir?: string
  /** Where the server of `dataDir` keeps its files. */
  directory?: string
}

/** tap empties other folders in .tap when it starts, but not this file. */
const RECORD = fileURLToPath(new URL('../.tap/cluster.json', import.meta.url))

export async function readCluster(): Promise<TestCluster | undefined> {
  try {
    return JSON.parse(await readFile(RECORD, 'utf8')) as TestCluster
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export async function writeCluster(cluster: TestCluster): Promise<void> {
  await mkdir(dirname(RECORD), { recursive: true })
  await writeFile(RECORD, JSON.stringify(cluster), { mode: 0o600 })
}

/**
 * Removes `cluster` completely: stops our server and deletes its files, or drops our databases on someone else's
 * server. Also deletes the record of the run.
 */
export async function removeCluster({ url, record, template, dataDir, directory }: TestCluster): Promise<void> {
  if (record) await rm(record, { recursive: true, force: true })
  if (dataDir && directory) {
    await stopServer(join(directory, 'cluster/data'))
    for (const folder of [dirname(directory), dataDir]) await rm(folder, { recursive: true, force: true })
  } else if (url) {
    await dropDatabases(url, template)
  }
  await rm(RECORD, { force: true })
}

/** Stops the server immediately, without a checkpoint: nobody reads the data again. */
async function stopServer(data: string): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const server = await findPostmaster({ data })
    if (!server) return
    if (Date.now() > deadline) throw new Error(`PostgreSQL, process ${server.pid}, did not stop within 10 s`)
    process.kill(server.pid, 'SIGQUIT')
    await sleep(50)
  }
}

async function dropDatabases(url: string, prefix: string): Promise<void> {
  await onServer(url, async (sql) => {
    const found = await sql`select datname as name from pg_database where starts_with(datname, ${prefix})`
    for (const { name } of found) await sql`drop database ${sql(name)} with (force)`
  })
}

/** Runs `task` with its own connection to the server, and closes the connection afterwards. */
export async function onServer(url: string, task: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 10, fetch_types: false, onnotice: () => {} })
  try {
    await task(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** The URL of the database `name` on the server of `url`. */
export function databaseUrl(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}
