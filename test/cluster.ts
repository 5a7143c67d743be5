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
  /** When it began, in milliseconds since 1970. */
  startedAt: number
  /** Of a database that statements on databases are sent through; not there before the server is. */
  url?: string
  /** The folder of what services say and answer in this run; see run-record.ts. */
  record?: string
  /** The migrated database that the test files clone; their clones' names begin with its name. */
  template: string
  /** Absent where the server is not ours (TEST_DATABASE_URL). */
  dataDir?: string
  /** Where the server of `dataDir` really has its files. */
  directory?: string
}

/** tap empties other folders beside it when it starts, not this file. */
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
 * Leaves nothing of `cluster`: stops our server and removes its files, or drops our databases from another's server; and
 * removes the record of the run.
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

/** Stops at once, without a checkpoint, since nobody will read the data again. */
async function stopServer(data: string): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const server = await findPostmaster({ data })
    if (!server) return
    if (Date.now() > deadline) throw new Error(`PostgreSQL, process ${server.pid}, does not stop`)
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

/** Runs `task` with a connection of its own to the server, closed after it. */
export async function onServer(url: string, task: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => {} })
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
