import { isIPv6 } from 'node:net'

/*
 * DATABASE_URL as libpq reads it: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS.
 * What the service does not use is listed in `unused`, so that the start can name it.
 */

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof SSL_MODES)[number]

export interface DatabaseAddress {
  /** Tried in turn. A host that begins with `/` is the folder of a Unix socket. Empty: PGHOST, or localhost. */
  hosts: { host: string; port: number }[]
  user?: string
  password?: string
  database?: string
  sslMode: SslMode
  sslNegotiation: 'postgres' | 'direct'
  /** Paths of PEM files; `sslRootCert` may be `system`. */
  sslRootCert?: string
  sslCert?: string
  sslKey?: string
  sslPassword?: string
  /** Rejects a server that does not prove that it knows the password. */
  requireScram: boolean
  connectTimeoutSeconds?: number
  /** 0 turns TCP keepalive off. */
  keepAliveSeconds?: number
  /** Skips standby servers. */
  requirePrimary: boolean
  /** Command-line options for the server process, for example `-c work_mem=64MB`. */
  options?: string
  applicationName?: string
  /** Parameters that have no effect, each with the reason. */
  unused: string[]
}

/** Stores a parameter in the address. Returns the reason if it has no effect. Throws an Error for an invalid value. */
type Take = (address: DatabaseAddress, value: string, parameters: Map<string, string>) => string | undefined

const integer = (value: string, most: number): number => {
  if (!/^\d+$/.test(value) || Number(value) > most) throw new Error(`must be a whole number up to ${most}`)
  return Number(value)
}

const oneOf = <Value extends string>(value: string, values: readonly Value[]): Value => {
  const found = values.find((candidate) => candidate === value)
  if (!found) throw new Error(`must be one of ${values.join(', ')}`)
  return found
}

const BY_DB_SCHEMA: Take = () => 'DB_SCHEMA names the schema'
const BY_CONNECTIONS: Take = () => 'DATABASE_CONNECTIONS and WAIT_SECONDS bound the connections'
const BY_PROBE: Take = () => 'the service itself finds out whether a silent server is alive'
const NOTHING: Take = () => undefined

/** Parameters that are stored unchanged, and their names in the address. */
const TEXTS = {
  user: 'user',
  password: 'password',
  dbname: 'database',
  sslrootcert: 'sslRootCert',
  sslcert: 'sslCert',
  sslkey: 'sslKey',
  sslpassword: 'sslPassword',
  options: 'options',
  application_name: 'applicationName',
} as const

const texts = Object.fromEntries(
  Object.entries(TEXTS).map(([name, key]): [string, Take] => [
    name,
    (address, value) => {
      address[key] = value
    },
  ]),
)

const PARAMETERS: Record<string, Take> = {
  host: (address, value, parameters) => {
    address.hosts = hostList(value.split(','), (parameters.get('port') ?? '').split(','))
  },
  port: (address, value) => {
    const hosts = address.hosts.map(({ host }) => host)
    address.hosts = hostList(hosts.length > 0 ? hosts : [''], value.split(','))
  },
  ...texts,
  sslmode: (address, value) => {
    address.sslMode = oneOf(value, SSL_MODES)
  },
  ssl: (address, value) => {
    address.sslMode = oneOf(value, ['true', 'false']) === 'true' ? 'require' : 'disable'
  },
  sslnegotiation: (address, value) => {
    address.sslNegotiation = oneOf(value, ['postgres', 'direct'])
  },
  require_auth: (address, value) => {
    oneOf(value, ['scram-sha-256'])
    address.requireScram = true
  },
  connect_timeout: (address, value) => {
    const seconds = integer(value, 600)
    if (seconds > 0) address.connectTimeoutSeconds = seconds
  },
  keepalives: (address, value) => {
    if (oneOf(value, ['0', '1']) === '0') address.keepAliveSeconds = 0
  },
  keepalives_idle: (address, value) => {
    const seconds = integer(value, 86_400)
    if (seconds > 0) address.keepAliveSeconds ??= seconds
  },
  target_session_attrs: (address, value) => {
    address.requirePrimary = oneOf(value, ['any', 'read-write', 'primary']) !== 'any'
  },
  fallback_application_name: NOTHING,
  sslcompression: NOTHING,
  client_encoding: (_, value) => {
    oneOf(value.toLowerCase(), ['utf8', 'utf-8', 'auto'])
  },
  channel_binding: (_, value) =>
    oneOf(value, ['disable', 'prefer', 'require']) === 'require'
      ? 'not supported: sslmode=verify-full proves which server it is'
      : undefined,
  gssencmode: (_, value) => {
    oneOf(value, ['disable', 'prefer'])
  },
  load_balance_hosts: (_, value) =>
    oneOf(value, ['disable', 'random']) === 'random' ? 'hosts are tried in their order' : undefined,
  keepalives_interval: BY_PROBE,
  keepalives_count: BY_PROBE,
  tcp_user_timeout: BY_PROBE,
  search_path: BY_DB_SCHEMA,
  schema: BY_DB_SCHEMA,
  connection_limit: BY_CONNECTIONS,
  pool_timeout: BY_CONNECTIONS,
  pgbouncer: () => 'the service needs PostgreSQL itself, not a pooler',
}

/** Parses `text`. Throws an Error whose message continues `DATABASE_URL …` and contains no part of a password. */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  // An unencoded / ? # @ in a password would move the end of the host. A second @, or a #, reveals it.
  const parts = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^@/?#]*))?(?:\?([^@#]*))?$/.exec(text.trim())
  const [, login, hosts = '', database = '', query = ''] = parts ?? []
  if (!parts) throw new Error(EXPECTED)
  const [user = '', ...password] = (login ?? '').split(':').map(decode)
  const parameters = readQuery(query)
  if (login !== undefined && hosts === '' && !parameters.has('host')) throw new Error(EXPECTED)
  const address: DatabaseAddress = {
    hosts: readHosts(hosts),
    ...(user !== '' && { user }),
    ...(password.length > 0 && { password: password.join(':') }),
    ...(database !== '' && { database: decode(database) }),
    sslMode: 'prefer',
    sslNegotiation: 'postgres',
    requireScram: false,
    requirePrimary: false,
    unused: [],
  }
  for (const [name, value] of parameters) take(address, name, value, parameters)
  // `require` with a root certificate verifies it, as in libpq. With `system`, libpq also verifies the name.
  if (address.sslRootCert && address.sslMode === 'require') address.sslMode = 'verify-ca'
  if (address.sslRootCert === 'system') address.sslMode = 'verify-full'
  if (address.hosts.length > 1) address.requirePrimary = true // the service writes
  return address
}

/** The server and the database, for the log. */
export function describeAddress({ hosts, database }: DatabaseAddress): string {
  const named = hosts.map(({ host, port }) =>
    host.startsWith('/') ? host : `${isIPv6(host) ? `[${host}]` : host}:${port}`,
  )
  return `${named.join(',') || 'the default host'}/${database ?? ''}`
}

const EXPECTED =
  'expects postgres://user:password@host:port/database, with characters such as / ? # % @ in the user or the password percent-encoded (%2F %3F %23 %25 %40)'

function take(address: DatabaseAddress, name: string, value: string, parameters: Map<string, string>): void {
  const parameter = PARAMETERS[name]
  try {
    const reason = parameter ? parameter(address, value, parameters) : 'unknown'
    if (reason) address.unused.push(`${name} (${reason})`)
  } catch (error) {
    throw new Error(`parameter ${name} ${(error as Error).message}`)
  }
}

/** Names and values, percent-decoded. A `+` stays a `+`, as in libpq. */
function readQuery(query: string): Map<string, string> {
  const pairs = query.split('&').filter((pair) => pair !== '')
  return new Map(
    pairs.map((pair) => {
      const [name = '', value] = pair.split(/=(.*)/s)
      if (value === undefined || !/^\w+$/.test(name)) throw new Error(EXPECTED)
      return [name, decode(value)]
    }),
  )
}

/** `host:port,host:port`; an IPv6 address is in brackets. */
function readHosts(text: string): DatabaseAddress['hosts'] {
  if (text === '') return []
  const specs = text.split(',').map((spec) => /^(?:\[([^\]]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(spec))
  if (specs.includes(null)) throw new Error(EXPECTED)
  return hostList(
    specs.map((spec) => decode(spec?.[1] ?? spec?.[2] ?? '')),
    specs.map((spec) => spec?.[3] ?? ''),
  )
}

/** One port applies to all hosts; otherwise each host has its own. */
function hostList(hosts: string[], ports: string[]): DatabaseAddress['hosts'] {
  if (ports.length > 1 && ports.length !== hosts.length) throw new Error('must name one port, or one for each host')
  return hosts.map((name, index) => {
    const host = name || 'localhost'
    const port = Number((ports.length > 1 ? ports[index] : ports[0]) || 5432)
    const isHost = host.startsWith('/') || /^[\w.-]+$/.test(host) || isIPv6(host)
    if (!isHost || !Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(EXPECTED)
    return { host, port }
  })
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error(EXPECTED)
  }
}
