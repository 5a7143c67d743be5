import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { EmbeddedDatabaseError, startEmbeddedDatabase } from '../../src/database/embedded/embedded.ts'
import { findPlace } from '../../src/database/embedded/embedded-place.ts'
import { findPostmaster } from '../../src/database/embedded/embedded-postmaster.ts'
import { migrate } from '../../src/database/migrate.ts'
import { refusedStart } from '../faults/refused-start.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import {
  entries,
  FAST,
  kill,
  query,
  removeServer,
  serverOf,
  spawnService,
  startService,
  temporaryFolder,
  until,
} from './embedded-service.ts'

const t = suite()

/** Where the first start creates a database. The other tests copy it, which takes a tenth of the time. */
const template = await temporaryFolder(t)

/** Copies the database into a folder, with its owners, unlike fs.cp. Its server is not running. */
const copyDatabase = (folder: string) => promisify(execFile)('cp', ['-a', join(template, 'postgresql'), folder])

/** A temporary folder with a database. Its server is not running. */
async function folderWithDatabase(t: Test): Promise<string> {
  const folder = await temporaryFolder(t)
  await copyDatabase(folder)
  return folder
}

/** Starts a service in this folder and kills it during initdb. */
async function killDuringInitdb(t: Test, directory: string): Promise<void> {
  const killed = spawnService(t, template)
  await until(async () => {
    const [unfinished] = (await entries(directory)).filter((name) => name.startsWith('unfinished-'))
    return unfinished !== undefined && existsSync(join(directory, unfinished, 'data/global'))
  })
  await kill(killed)
  t.notOk(existsSync(join(directory, 'cluster')))
}

t.test('the first start creates a database, also after one that was killed during initdb', async (t) => {
  const directory = join(template, 'postgresql')
  if (isFull) await killDuringInitdb(t, directory)
  const first = await startEmbeddedDatabase({ dataDir: template, settings: FAST })
  t.equal(first.adopted, false)
  t.equal(first.directory, directory)
  t.strictSame((await entries(directory)).sort(), ['cluster', 'turn.lock', 'use.lock'])
  t.equal((await stat(join(directory, 'cluster/password'))).mode & 0o777, 0o600)
  await migrate(first.url, 'usersync') // once, because it takes 0.3 s of CPU time
  await query(first.url, 'create table kept as select 1 as n') // the other tests find both in their copies
  await Promise.all([first.stop(), first.stop()])
  t.notOk(await serverOf(first))
})

t.test('the service owns the database and has no other rights in the cluster; the next start uses it', async (t) => {
  const dataDir = await folderWithDatabase(t)
  const settings = { ...FAST, log_line_prefix: `it's "%p" $HOME: ` }
  const first = await startEmbeddedDatabase({ dataDir, settings })
  t.match(first.url, /^postgres:\/\/usersync_service:[\w-]{43}@127\.0\.0\.1:\d+\/usersync\?/)
  const [row] = await query(
    first.adminUrl,
    `select concat_ws(' ', datlocprovider, datlocale, pg_encoding_to_char(encoding)) as locale, lower('É') as lower,
       current_setting('listen_addresses') || current_setting('unix_socket_directories') as listen,
       current_setting('log_line_prefix') as prefix, current_setting('jit') as jit
     from pg_database where datname = current_database()`,
  )
  t.strictSame(row, {
    locale: 'b C.UTF-8 UTF8',
    lower: 'é',
    listen: '127.0.0.1',
    prefix: settings.log_line_prefix,
    jit: 'off',
  })
  await t.rejects(query(first.url.replace(/:[\w-]{43}@/, ':wrong@'), 'select 1'), { code: '28P01' })
  const [role] = await query(
    first.url,
    `select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls as has_more,
       (select count(*)::int from pg_auth_members where member = r.oid) as memberships
     from pg_roles r where rolname = current_user`,
  )
  t.strictSame(role, { has_more: false, memberships: 0 })
  await t.rejects(query(first.url, `copy (select 1) to program 'id'`), { code: '42501' })
  await query(first.url, 'update kept set n = 2')

  await first.stop()
  const second = await startEmbeddedDatabase({ dataDir, settings })
  t.equal(second.adopted, false)
  t.strictSame(await query(second.url, 'select n from kept'), [{ n: 2 }])
  await second.stop()
})

t.test('the service takes over a database that an earlier version created as the superuser', async (t) => {
  const dataDir = await folderWithDatabase(t)
  const first = await startEmbeddedDatabase({ dataDir, settings: FAST })
  await query(first.adminUrl, 'reassign owned by usersync_service to usersync') // the database, the schema and all in it
  const insert = `insert into usersync.users (username, email) values ('kept', 'kept@example.com')`
  await query(first.adminUrl, insert)
  await first.stop()

  const second = await startEmbeddedDatabase({ dataDir, settings: FAST })
  await migrate(second.url, 'usersync')
  t.strictSame(await query(second.url, 'delete from usersync.users returning username'), [{ username: 'kept' }])
  await query(second.url, insert)
  const [left] = await query(
    second.url,
    `select (select count(*)::int from pg_class where relnamespace = 'usersync'::regnamespace and relowner <> r.oid)
       + (select count(*)::int from pg_proc where pronamespace = 'usersync'::regnamespace and proowner <> r.oid) as of_others
     from pg_roles r where rolname = current_user`,
  )
  t.strictSame(left, { of_others: 0 })
  await second.stop()
})

t.test('the next service adopts the server of a service that was killed', async (t) => {
  const dataDir = await folderWithDatabase(t)
  const killed = await startService(t, dataDir)
  const pid = (await serverOf(killed.database))?.pid
  await query(killed.database.url, 'update kept set n = 2')
  await kill(killed.process)

  const next = await startEmbeddedDatabase({ dataDir })
  t.equal(next.adopted, true)
  t.equal(next.url, killed.database.url)
  t.equal((await serverOf(next))?.pid, pid)
  t.strictSame(await query(next.url, 'select n from kept'), [{ n: 2 }])
  await next.stop()
  t.notOk(await serverOf(next), 'and stops it as the last user')
})

// In the small size, a server that a killed service left is adopted, and a lock file without its server is replaced.
if (isFull)
  t.test('a killed server is recovered while one of its backends is still working', async (t) => {
    const dataDir = await folderWithDatabase(t)
    const service = await startService(t, dataDir)
    const server = await serverOf(service.database)
    await query(service.database.url, 'update kept set n = 2')
    const busy = query(service.database.url, 'select count(*) from generate_series(1, 10_000_000)').catch(() => {})
    await sleep(300)
    process.kill(server?.pid ?? Number.NaN, 'SIGKILL')
    await kill(service.process)

    const next = await startEmbeddedDatabase({ dataDir, settings: FAST })
    t.equal(next.adopted, false)
    t.strictSame(await query(next.url, 'select n from kept'), [{ n: 2 }])
    await next.stop()
    await busy
  })

// The small size replaces the lock file of a process that is not our server.
if (isFull)
  t.test('a new server starts if the one it found stops before it can be used', async (t) => {
    const dataDir = await folderWithDatabase(t)

    // What is left while a postmaster exits: a process with its name, a lock file that says ready, and a port that still
    // accepts connections but does not serve them.
    const data = join(dataDir, 'postgresql/cluster/data')
    const dying = spawn('sleep', ['1'], { argv0: `/postgres -D ${data} ` })
    const port = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await once(port, 'listening')
    const { port: number } = port.address() as AddressInfo
    const lockFile = [dying.pid, data, 0, number, '', '127.0.0.1', '', 'ready   ', '']
    await writeFile(join(data, 'postmaster.pid'), lockFile.join('\n'))
    dying.once('exit', () => port.close())

    const next = await startEmbeddedDatabase({ dataDir, settings: FAST })
    t.equal(next.adopted, false)
    t.strictSame(await query(next.url, 'select n from kept'), [{ n: 1 }])
    await next.stop()
  })

t.test('two services that start at once share a server, and the last one stops it', async (t) => {
  const dataDir = await sized(folderWithDatabase, temporaryFolder)(t)
  const [one, other] = await Promise.all([startService(t, dataDir), startService(t, dataDir)])
  t.equal(one.database.url, other.database.url)
  t.strictSame([one.database.adopted, other.database.adopted].sort(), [false, true])

  one.process.kill('SIGTERM')
  t.strictSame(await once(one.process, 'exit'), [0, null])
  t.strictSame(await query(other.database.url, 'select 1 as n'), [{ n: 1 }])
  other.process.kill('SIGTERM')
  t.strictSame(await once(other.process, 'exit'), [0, null])
  t.notOk(await serverOf(other.database))
})

t.test('a failed start reports the reason, and the next replaces the lock file of another process', async (t) => {
  const dataDir = await folderWithDatabase(t)
  const data = join(dataDir, 'postgresql/cluster/data')
  const { uid, gid } = await stat(data) // PostgreSQL checks only processes of its own user
  const stranger = spawn('sleep', ['60'], { uid, gid })
  t.teardown(() => kill(stranger))

  const failure = await startEmbeddedDatabase({ dataDir, settings: { wal_compression: 'best' } }).catch(
    (error) => error,
  )
  t.type(failure, EmbeddedDatabaseError)
  t.match(failure.message, 'invalid value for parameter "wal_compression"')
  t.notMatch(failure.message, await readFile(join(dataDir, 'postgresql/cluster/password'), 'utf8'))

  const lockFile = `${stranger.pid}\n${data}\n1\n5432\n\n127.0.0.1\n\nready\n`
  for (const text of sized([lockFile], [lockFile, '\0\0\0\0'])) {
    await writeFile(join(data, 'postmaster.pid'), text)
    const next = await startEmbeddedDatabase({ dataDir, settings: FAST })
    t.equal(next.adopted, false)
    await next.stop()
  }
  t.equal(stranger.exitCode ?? stranger.signalCode, null, 'the other process is still alive')
})

t.test('a port in use stops the start with one line, and the embedded database is stopped', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => new Promise((resolve) => other.close(resolve)))
  const { port } = other.address() as AddressInfo
  const dataDir = await folderWithDatabase(t)
  const { code, output } = await refusedStart({ DATA_DIR: dataDir, PORT: String(port) })
  t.equal(code, 1)
  t.match(output, new RegExp(`^usersync cannot start: Error: port ${port} of 127.0.0.1 is in use: .* set PORT`))
  t.equal(await findPostmaster({ data: join(dataDir, 'postgresql/cluster/data') }), undefined, 'no PostgreSQL is left')
})

t.test('on a platform without an embedded PostgreSQL the error names DATABASE_URL', async (t) => {
  t.intercept(process, 'arch', { value: 'pdp11' })
  await t.rejects(startEmbeddedDatabase({ dataDir: '/nowhere' }), {
    name: 'EmbeddedDatabaseError',
    message: /DATABASE_URL/,
  })
})

if (process.getuid?.() === 0) {
  t.test('the data of a private folder are stored where the user postgres can access them', async (t) => {
    const home = await temporaryFolder(t)
    await chmod(home, 0o700)
    const dataDir = join(home, 'data')
    const { directory } = await findPlace(dataDir)
    t.teardown(() => removeServer(directory))
    t.match(directory, /^\/var\/lib\/usersync\/[0-9a-f]{16}\/postgresql$/)
    if (!isFull) await copyDatabase(dirname(directory)) // at full size the first start creates it there
    const first = await startEmbeddedDatabase({ dataDir, settings: FAST })
    t.equal(first.directory, directory)
    t.strictSame(await query(first.url, 'select 1 as n'), [{ n: 1 }])
    await first.stop()

    await chmod(home, 0o755)
    t.equal((await findPlace(dataDir)).directory, directory, 'also after that folder becomes accessible')
  })

  t.test('data that belong to another user keep that owner', async (t) => {
    const dataDir = await folderWithDatabase(t)
    const nobody = 65534
    const chown = spawn('chown', ['-R', `${nobody}:${nobody}`, dataDir])
    t.strictSame(await once(chown, 'exit'), [0, null])

    const second = await startEmbeddedDatabase({ dataDir, settings: FAST })
    t.equal((await stat(join(second.directory, 'cluster/data/postmaster.pid'))).uid, nobody)
    t.equal((await stat(second.directory)).uid, nobody)
    await second.stop()
  })

  t.test('an empty database is not started in place of one that has become inaccessible', async (t) => {
    const home = await temporaryFolder(t)
    await mkdir(join(home, 'postgresql/cluster'), { recursive: true })
    await chmod(home, 0o700)
    await t.rejects(startEmbeddedDatabase({ dataDir: home }), { message: /can no longer access it/ })
  })
}
