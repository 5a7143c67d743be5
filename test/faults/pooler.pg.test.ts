import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { connect } from '../../src/database/connection.ts'
import { prepareDatabase } from '../../src/database/prepare.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'
import { debianProgram } from './debian-program.ts'
import { freePort } from './free-port.ts'
import { refusedStart } from './refused-start.ts'

const t = suite()

/* PgBouncer in transaction mode between the service and PostgreSQL: the start fails, with what to do. */

const PGBOUNCER = debianProgram('pgbouncer')
const skip = PGBOUNCER ? false : 'pgbouncer is not installed (Debian: apt-get install pgbouncer)'

/** The session settings of the service, which PgBouncer does not support. */
const SETTINGS =
  'search_path,usersync.service,plan_cache_mode,statement_timeout,idle_in_transaction_session_timeout,idle_session_timeout,bytea_output,extra_float_digits,array_nulls,default_transaction_isolation,default_transaction_read_only,row_security,lock_timeout,IntervalStyle,citus.propagate_set_commands'

/** Starts PgBouncer in front of the database, and returns the URL through it. */
async function startPgBouncer(t: Test, databaseUrl: string, ignored: string): Promise<string> {
  const { username, password, port: databasePort, pathname } = new URL(databaseUrl)
  const folder = await mkdtemp(join(tmpdir(), 'usersync-pgbouncer-'))
  await chmod(folder, 0o755)
  const port = await freePort()
  await writeFile(join(folder, 'users'), `"${username}" "${decodeURIComponent(password)}"\n`)
  await writeFile(
    join(folder, 'pgbouncer.ini'),
    `[databases]
* = host=127.0.0.1 port=${databasePort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(folder, 'users')}
pool_mode = transaction
ignore_startup_parameters = ${ignored}
`,
  )
  const user = process.getuid?.() === 0 ? ['-u', 'postgres'] : [] // pgbouncer refuses to run as root
  const child = spawn(PGBOUNCER ?? '', ['-q', ...user, join(folder, 'pgbouncer.ini')], { stdio: 'ignore' })
  const ended = new Promise((resolve) => void child.once('exit', resolve))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  for (let i = 0; i < 100 && !(await listens(port)); i++) await sleep(50)
  return `postgres://${username}:${password}@127.0.0.1:${port}${pathname}`
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

const POOLER = /connection pooler.*give the address of PostgreSQL itself/

async function checkRefused(t: Test, url: string, why: RegExp): Promise<void> {
  const refused = prepareDatabase(readConfig({ DATABASE_URL: url }))
  await t.rejects(refused, { message: why })
  await t.rejects(refused, { message: POOLER })
}

t.test('PgBouncer with its default settings is rejected at the start', { skip }, async (t) => {
  const url = await startPgBouncer(t, await testDatabase(), 'extra_float_digits')
  const { code, output } = await refusedStart({ DATABASE_URL: url })
  t.equal(code, 1)
  t.match(output, /cannot start.*refuses the settings of a session \(unsupported startup parameter/)
  t.match(output, POOLER)
})

t.test('PgBouncer that ignores the session settings is rejected at the start', { skip }, async (t) => {
  const url = await startPgBouncer(t, await testDatabase(), SETTINGS)
  await checkRefused(t, url, /drops the settings of a session/)
})

t.test('PgBouncer is rejected at the start even if the database has the session settings', { skip }, async (t) => {
  const database = await testDatabase()
  const sql = connect({ url: database, schema: 'usersync', connections: 1, name: 'test' })
  const name = sql(new URL(database).pathname.slice(1))
  await sql`alter database ${name} set search_path = usersync, pg_temp`
  await sql`alter database ${name} set usersync.service = 'on'`
  await sql.end()
  await checkRefused(t, await startPgBouncer(t, database, SETTINGS), /shares sessions among connections/)
})
