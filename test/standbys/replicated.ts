import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { controlServer, type OwnPostgres, startOwnPostgres } from '../faults/own-postgres.ts'

interface Test {
  teardown(fn: () => Promise<void>): void
}

export interface Replicated {
  primary: OwnPostgres
  standby: OwnPostgres & {
    /** Makes the stopped server a standby when it starts next. */
    makeStandby(): Promise<void>
  }
}

const SETTINGS = { wal_level: 'replica', wal_keep_size: '256MB', max_connections: '60' }

/** Starts a primary and its streaming standby, a copy that was made while the primary was stopped. */
export async function startReplicated(t: Test, ofStandby: Record<string, string> = {}): Promise<Replicated> {
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
      ...ofStandby,
    },
  )
  t.teardown(() => standby.kill())
  await makeStandby()
  await Promise.all([primary.start(), standby.start()])
  return { primary, standby: { ...standby, makeStandby } }
}

/** The test's own connections to a server, as a superuser. */
export function connectTo(t: Test, { url }: Pick<OwnPostgres, 'url'>): Sql {
  const sql = connect({ url, schema: 'usersync', connections: 3, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  return sql
}
