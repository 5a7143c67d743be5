import { connect, sqlState } from './connection.ts'
import { describeAddress, parseDatabaseUrl } from './database-url.ts'

const NO_CONNECTION_FREE = '53300'
const PROTOCOL_VIOLATION = '08P01'

/**
 * Makes sure that PostgreSQL can be reached, and that each connection is a session of its own, with the settings that it was
 * opened with. Through a pooler that gives a session to whoever has a transaction they are lost: tables would be looked for in
 * another schema, users who are not test users would not be protected, locks and LISTEN would be somebody else's. Throws an
 * Error that says what is wrong.
 */
export async function requireOwnSessions(url: string, schema: string): Promise<void> {
  const sql = connect({ url, schema, connections: 2, name: 'usersync start', isService: true })
  try {
    const pids = []
    for (const session of [await sql.reserve(), await sql.reserve()]) {
      const [found] = await session<{ pid: number; path: string; service: string | null }[]>`
        select pg_backend_pid() as pid, current_setting('search_path') as path,
          current_setting('usersync.service', true) as service`
      if (found?.path.replaceAll('"', '') !== `${schema}, pg_temp` || found.service !== 'on') {
        throw isPooler('that drops the settings of a session')
      }
      pids.push(found.pid)
    }
    if (pids[0] === pids[1]) throw isPooler('that shares sessions among connections')
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    if (sqlState(error) === NO_CONNECTION_FREE) {
      throw new Error(
        'PostgreSQL has no connection free: end others, or raise max_connections or the CONNECTION LIMIT of the role or database',
        { cause: error },
      )
    }
    if (sqlState(error) === PROTOCOL_VIOLATION && /startup parameter/.test(message)) {
      throw isPooler(`that refuses the settings of a session (${message})`)
    }
    if (code === 'CONNECTION_WAIT_TIMEOUT' || code === 'CONNECT_TIMEOUT') {
      throw new Error(`PostgreSQL at ${describeAddress(parseDatabaseUrl(url))} gives no connection`, { cause: error })
    }
    throw error
  } finally {
    await sql.end({ timeout: 0 })
  }
}

const isPooler = (kind: string) =>
  new Error(
    `DATABASE_URL leads to a connection pooler ${kind}, such as PgBouncer with pool_mode = transaction: give the address of PostgreSQL itself`,
  )
