import type { Sql } from 'postgres'
import { connect } from '../src/database/connection.ts'
import { DJANGO } from '../test/sinks/systems.ts'
import type { Surroundings } from './bench-surroundings.ts'

/** The database of a Django project, on the same server as the service's database. */
export interface System {
  url: string
  sql: Sql
  /** Leaves the table of users empty, in new files, and its ids begin at 1 again. */
  empty(): Promise<void>
}

/** Creates the database and its tables. Both are removed with `cleanup`. */
export async function createSystem(
  { sql: admin, databaseUrl, within }: Surroundings,
  name: string,
  cleanup: AsyncDisposableStack,
): Promise<System> {
  const { username } = new URL(databaseUrl)
  await within(30, 'creation of a database', () => admin`create database ${admin(name)} owner ${admin(username)}`)
  cleanup.defer(async () => {
    await admin`drop database ${admin(name)} with (force)`
  })
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  url.search = ''
  const sql = connect({ url: url.href, schema: 'public', connections: 1, name: 'usersync bench' })
  cleanup.defer(() => sql.end({ timeout: 5 }))
  await within(30, 'creation of tables', () => sql.unsafe(DJANGO))
  return {
    url: url.href,
    sql,
    async empty() {
      await sql`truncate auth_user restart identity cascade`
      await admin`checkpoint`
    },
  }
}
