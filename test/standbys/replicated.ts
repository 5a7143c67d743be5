import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Sql } from 'postgres'
import root from 'tap'
import { connect } from '../../src/database/connection.ts'
import { databaseUrl, onServer } from '../cluster.ts'
import { controlServer, type OwnPostgres, startOwnPostgres } from '../faults/own-postgres.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

/** A primary and its streaming standby. */
export interface Pair {
  primary: OwnPostgres
  standby: OwnPostgres & {
    /** Makes the stopped server a standby when it starts next. */
    makeStandby(): Promise<void>
  }
}

/** A database of the pair for one test file, with the test's own connections to both servers. */
export interface PairDatabase extends Pair {
  urls: { primary: string; standby: string }
  sql: Sql
  /** At the standby. */
  there: Sql
}

/** No vacuum but those of the tests: it would cancel exports at the standby. */
const SETTINGS = { wal_level: 'replica', wal_keep_size: '256MB', max_connections: '60', autovacuum: 'off' }

let pair: Promise<Pair> | undefined
let databases = 0

/** Creates a migrated database. The servers are those of the lane: they cost 2 s of CPU time. */
export async function pairDatabase(t: Test): Promise<PairDatabase> {
  pair ??= startPair(root)
  const { primary, standby } = await pair
  const name = `file_${++databases}`
  await onServer(databaseUrl(primary.url, 'template1'), (sql) => sql`create database ${sql(name)} template postgres`)
  const urls = { primary: databaseUrl(primary.url, name), standby: databaseUrl(standby.url, name) }
  for (let i = 0; i < 3_000 && !(await hasDatabase(standby, name)); i++) await sleep(10)
  return { primary, standby, urls, sql: open(t, urls.primary), there: open(t, urls.standby) }
}

async function hasDatabase({ url }: OwnPostgres, name: string): Promise<boolean> {
  let isThere = false
  await onServer(databaseUrl(url, 'template1'), async (sql) => {
    isThere = (await sql`select from pg_database where datname = ${name}`).length > 0
  })
  return isThere
}

function open(t: Test, url: string): Sql {
  // On a busy machine, a query of one of 200 clients waits longer than the default of 5 s for a connection.
  const sql = connect({ url, schema: 'usersync', connections: 8, name: 'test', waitMs: 60_000 })
  t.teardown(() => sql.end({ timeout: 5 }))
  return sql
}

/** The standby is a copy that was made while the primary was stopped: the embedded PostgreSQL has no pg_basebackup. */
async function startPair(t: Test): Promise<Pair> {
  const primary = await startOwnPostgres(t, { settings: SETTINGS })
  const { cluster, url } = primary
  await primary.stop()
  const folder = `${dirname(cluster.data)}-standby`
  await promisify(execFile)('cp', ['-a', dirname(cluster.data), folder])
  const data = join(folder, 'data')
  const makeStandby = () => writeFile(join(data, 'standby.signal'), '')
  const standby = await controlServer(
    { ...cluster, data, log: join(folder, 'server.log') },
    {
      ...SETTINGS,
      primary_conninfo: `host=127.0.0.1 port=${new URL(url).port} user=usersync password=${cluster.password}`,
    },
  )
  t.teardown(() => standby.kill())
  await makeStandby()
  await Promise.all([primary.start(), standby.start()])
  return { primary, standby: { ...standby, makeStandby } }
}

/** Changes a setting of a running server until the end of the test. The server takes it over a moment later. */
export async function configure(t: Test, server: Sql, name: string, value: string): Promise<void> {
  await server.unsafe(`alter system set ${name} = '${value}'`)
  await server`select pg_reload_conf()`
  t.teardown(async () => {
    await server.unsafe(`alter system reset ${name}`)
    await server`select pg_reload_conf()`
  })
}
