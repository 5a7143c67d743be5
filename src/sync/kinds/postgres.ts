import { parseDatabaseUrl } from '../../database/database-url.ts'
import type { FieldError } from '../../errors.ts'
import type { Kind } from './kind.ts'
import { connectTables } from './postgres/connect-tables.ts'
import {
  type Rows,
  renderRows,
  showRows,
  type TablesMapping,
  TablesMappingSchema,
  tablesFaults,
} from './postgres/mapping.ts'
import { PRESETS } from './postgres/presets.ts'
import { membersIn } from './values.ts'

/** Users as rows in the tables of an application. */
export const postgres: Kind<TablesMapping, Rows> = {
  limits: { batch: 5_000, concurrency: 4, per_second: null },
  presets: PRESETS,
  members: membersIn,
  mappingSchema: TablesMappingSchema,
  mappingFaults: (mapping) => tablesFaults(mapping as TablesMapping),
  readUrl,
  render: renderRows,
  show: (rows, mapping) => ({ rows: showRows(rows, mapping) }),
  connect: connectTables,
}

const EXPECTED = 'expects postgres://user@host:port/database, with one host and a port from 1 to 65535'

/** Reads the URL of a database. Everything that identifies it must be in it: the environment's PGHOST and so on are for our own. */
function readUrl(text: string): { url: string; key: string | undefined; hosts: string[] } | FieldError[] {
  const fault = (message: string) => [{ path: 'body.url', code: 'format', message }]
  try {
    const { hosts, user, password, database, sslMode } = parseDatabaseUrl(text)
    const [server] = hosts
    const parameters = [...new URLSearchParams(/\?(.*)$/s.exec(text)?.[1] ?? '').keys()]
    const other = parameters.find((name) => name !== 'sslmode')
    if (other !== undefined) return fault('takes no parameter but sslmode')
    if (!server || hosts.length > 1 || server.host.startsWith('/') || user === undefined || database === undefined)
      return fault(EXPECTED)
    const host = server.host.includes(':') ? `[${server.host}]` : server.host
    const query = parameters.length > 0 ? `?sslmode=${sslMode}` : ''
    const url = `postgres://${encodeURIComponent(user)}@${host}:${server.port}/${encodeURIComponent(database)}${query}`
    return { url, key: password === '' ? undefined : password, hosts: [server.host] }
  } catch {
    return fault(`${EXPECTED}. Percent-encode characters such as / ? # % @ in names, or send the password as key`)
  }
}
