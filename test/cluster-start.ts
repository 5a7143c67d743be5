// `npm test` runs this before the tests. It creates their PostgreSQL server, the template for their databases, and the
// folder that records what services log and answer.

import { randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedDatabase } from '../src/database/embedded/embedded.ts'
import { isAlive } from '../src/database/embedded/embedded-postmaster.ts'
import { migrate } from '../src/database/migrate.ts'
import { databaseUrl, onServer, readCluster, removeCluster, type TestCluster, writeCluster } from './cluster.ts'
import { plant } from './search-record.ts'
import { makeServerFolder } from './server-folder.ts'

/** Tests need no data after a power cut, and no replicas. */
const SETTINGS = {
  ...{ fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
  ...{ wal_level: 'minimal', max_wal_senders: '0', max_connections: '300' },
  autovacuum: 'off', // no plan of a test depends on when it ran
  scram_iterations: '1', // each of the default of 4096 costs a client that connects, 2 ms in all
}

await removePrevious()

const cluster: TestCluster = {
  runner: process.ppid,
  startedAt: Date.now(),
  template: `usersync_template_${randomBytes(6).toString('hex')}`,
}
try {
  cluster.record = await mkdtemp(join(tmpdir(), 'usersync-test-record-'))
  await writeCluster(cluster)
  await plant(cluster.record)
  cluster.url = process.env.TEST_DATABASE_URL || (await startServer())
  await writeCluster(cluster)
  await makeTemplate(cluster.url, cluster.template)
} catch (error) {
  await removeCluster(cluster).catch(() => {}) // tap does not run cluster-stop now; the next run removes what is left
  throw error
}

/** A run that was killed leaves its server, or its databases on our server. */
async function removePrevious(): Promise<void> {
  const previous = await readCluster()
  if (!previous) return
  if (previous.runner !== process.ppid && isAlive(previous.runner)) {
    throw new Error(
      `Process ${previous.runner} is already running tests here. If it is not a test runner, delete .tap/cluster.json`,
    )
  }
  await removeCluster(previous).catch((error) => process.emitWarning(error)) // its server may no longer exist
}

async function startServer(): Promise<string> {
  cluster.dataDir = await makeServerFolder('usersync-test-')
  cluster.directory = join(cluster.dataDir, 'postgresql')
  await writeCluster(cluster)
  const { adminUrl, directory } = await startEmbeddedDatabase({ dataDir: cluster.dataDir, settings: SETTINGS })
  cluster.directory = directory
  const url = Object.assign(new URL(adminUrl), { search: '' }) // postgres.js itself does not know require_auth
  // initdb has stored the password before SETTINGS were set. A utility statement has no parameters.
  await onServer(url.href, (sql) => sql.unsafe(`alter role ${url.username} password '${url.password}'`))
  return url.href
}

async function makeTemplate(url: string, template: string): Promise<void> {
  await onServer(url, async (sql) => {
    await sql`create database ${sql(template)}`
    await migrate(databaseUrl(url, template), 'usersync')
    await sql`alter database ${sql(template)} allow_connections false` // an open connection would block the clones
  })
}
