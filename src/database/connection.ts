import { connect as connectSocket } from 'node:net'
import postgres, { type Sql } from 'postgres'
import { refuseAuthentication, tlsOptions } from './connection-security.ts'
import { type DatabaseAddress, parseDatabaseUrl } from './database-url.ts'
import { watchLiveness } from './liveness.ts'

interface ConnectOptions {
  url: string
  schema: string
  /** Maximum number of connections. Further queries wait. */
  connections: number
  /** Application name, shown in `pg_stat_activity`. */
  name: string
  /** Whether statements are the service's: those change test users only (migrations/0003_protect_users.sql). */
  isService?: boolean
  /** PostgreSQL ends a transaction after this time without a statement, and releases its locks. */
  idleTimeoutMs?: number
  /** How long a statement waits for a lock; 5 s if it is not given. */
  lockTimeoutMs?: number | undefined
  /** How long a query waits for a connection, opening one included; 5 s if it is not given. */
  waitMs?: number
  /** How long a connection may be silent before the server is probed; 3 s if it is not given (liveness.ts). */
  silenceMs?: number | undefined
  /** Further settings of the sessions. */
  settings?: Record<string, string>
}

/** A connection attempt that takes longer is abandoned and repeated. */
const CONNECT_TIMEOUT_SECONDS = 5

/** No statement of the service is meant to take longer. */
const STATEMENT_TIMEOUT_MS = 300_000

/**
 * A statement that waits longer for a lock fails, and its request returns 503. Otherwise one lock could occupy every
 * connection. Where a long wait is intended, the code sets a longer timeout.
 */
const LOCK_TIMEOUT_MS = 5_000

/** How long a query waits for a connection. */
const WAIT_MS = 5_000

/** An export whose client reads nothing for this long loses its snapshot. */
const IDLE_TRANSACTION_TIMEOUT_MS = 120_000

/**
 * Session settings that results depend on. The startup message sets them, which overrides ALTER ROLE, ALTER DATABASE
 * and `options` of DATABASE_URL.
 */
const SESSION: Record<string, string> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  idle_session_timeout: '0', // the LISTEN connection is idle
  row_security: 'off', // a policy that hides rows causes an error, not an incomplete export
  'citus.propagate_set_commands': 'local', // SET LOCAL reaches the workers of Citus (docs/citus.md)
}

/**
 * `transaction_timeout` exists since PostgreSQL 17. It is off, because statements and idle transactions have separate
 * timeouts. Citus needs the values of the parameters to find the worker, so it cannot use a generic plan. Runs on each new
 * connection, so it reads no table: with one, opening a connection takes the server a quarter longer.
 */
const SESSION_SQL = `
  select
    case when current_setting('transaction_timeout', true) is not null then set_config('transaction_timeout', '0', false) end,
    case when to_regproc('pg_catalog.citus_version') is not null then set_config('plan_cache_mode', 'force_custom_plan', false) end`

/**
 * Types that statements use in arrays, and the types of these arrays. Built-in types have the same numbers in every
 * database (pg_type.dat). By default the driver reads all types on each new connection, a third of what it costs to open.
 */
export const ARRAY_TYPES = [
  [16, 1000], // bool
  [17, 1001], // bytea
  [18, 1002], // "char"
  [19, 1003], // name
  [20, 1016], // bigint
  [21, 1005], // smallint
  [23, 1007], // integer
  [25, 1009], // text
  [26, 1028], // oid
  [114, 199], // json
  [701, 1022], // double precision
  [1043, 1015], // varchar
  [1184, 1185], // timestamptz
  [1700, 1231], // numeric
  [2950, 2951], // uuid
  [3802, 3807], // jsonb
] as const

/**
 * Seconds before the driver reopens a lost or failed connection. Its default backoff grows to 20 s, during which a
 * recovered database would seem unavailable.
 */
const backoff = (failures: number) => (0.5 + Math.random() / 2) * Math.min(0.1 * 2 ** failures, 1)

/**
 * The only place that creates a connection pool. Connections are opened on first use.
 *
 * - `search_path` contains only the service's schema, so queries use unqualified table names.
 * - Nagle's algorithm is off. With it, each round trip of several small packets waits for a delayed acknowledgement
 *   (1.3 ms for an insert, 87 ms for a COPY, instead of 0.3 and 0.6 ms). postgres.js has no setting for it.
 * - Timestamps are text in both directions, so that they keep their microseconds. JSON is sent as text.
 * - Every wait has a limit: for a connection, for a silent server (liveness.ts), for a lock. PostgreSQL ends statements
 *   and transactions that take too long.
 * - 64-bit numbers are returned as text, because a JavaScript number holds 53 bits.
 * - Plans are generic. If the statistics do not contain a pool, the planner expects a single row of it, so any index
 *   that begins with `pool_id` looks as good as the right one, and a look-up of one user by key read all users of the
 *   pool. A generic plan assumes an average pool. forceIndexScans is the exception.
 *
 * Throws an Error if the driver is not patched.
 */
export function connect(options: ConnectOptions): Sql {
  requirePatchedDriver()
  const { url, schema, connections, name, isService = false, settings } = options
  const { idleTimeoutMs = IDLE_TRANSACTION_TIMEOUT_MS, lockTimeoutMs = LOCK_TIMEOUT_MS, waitMs = WAIT_MS } = options
  const address = parseDatabaseUrl(url)
  return postgres({
    ...driverOptions(address),
    max: connections,
    backoff,
    idle_timeout: 60,
    onnotice: () => {},
    types: {
      date: { to: 1184, from: [1082, 1083, 1114, 1184], serialize: asItIs, parse: asItIs },
      json: { to: 114, from: [114, 3802], serialize: asItIs, parse: JSON.parse },
    },
    connection: {
      ...(address.options !== undefined && { options: address.options }),
      application_name: name.replace('usersync', () => address.applicationName ?? 'usersync'),
      ...SESSION,
      search_path: `"${schema}", pg_temp`,
      ...(isService && { 'usersync.service': 'on' }),
      plan_cache_mode: 'force_generic_plan',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: lockTimeoutMs,
      idle_in_transaction_session_timeout: idleTimeoutMs,
      ...settings,
    },
    socket: socketOpener(),
    session: SESSION_SQL,
    fetch_types: false,
    array_types: ARRAY_TYPES,
    refuse: refuseAuthentication(address),
    watch: watchLiveness(STATEMENT_TIMEOUT_MS, options.silenceMs),
    wait_timeout: waitMs / 1000,
  })
}

const asItIs = (text: string) => text

/**
 * Checks that postgres.js is patched. The published version ends the process when a connection is lost in a
 * transaction, and waits without limit. Throws an Error that says what to do.
 */
export function requirePatchedDriver(): void {
  if ('isConnectionError' in postgres) return
  throw new Error(
    'the driver postgres.js lacks its patch, because npm ran no install scripts: run `npm run postinstall` in the folder of usersync',
  )
}

/** The driver uses PGHOST, PGUSER and so on for what the address omits. */
function driverOptions(address: DatabaseAddress) {
  const { hosts, user, password, database, keepAliveSeconds, requirePrimary, sslNegotiation } = address
  return {
    ...(hosts.length > 0 && { host: hosts.map(({ host }) => host), port: hosts.map(({ port }) => port) }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { database }),
    ...(keepAliveSeconds !== undefined && { keep_alive: keepAliveSeconds }),
    ...(requirePrimary && { target_session_attrs: 'primary' as const }),
    ...(sslNegotiation === 'direct' && { sslnegotiation: sslNegotiation }),
    ssl: tlsOptions(address),
    connect_timeout: address.connectTimeoutSeconds ?? CONNECT_TIMEOUT_SECONDS,
  }
}

/**
 * Returns the function that opens sockets for the driver, to its hosts in turn or to a given server. It returns a
 * socket that is still connecting: the driver's writes wait in it, and its error and close events reach the driver,
 * which then retries. If it returned a promise that rejects, the pool would lose the connection (postgres.js 3.4.9).
 */
function socketOpener() {
  let turn = 0
  return ({ host, port }: { host: string[]; port: number[] }, server?: postgres.Server) => {
    const index = server ? 0 : turn++ % host.length
    const to = server ?? { host: host[index] ?? 'localhost', port: port[index] ?? 5432 }
    const socket = to.host.startsWith('/')
      ? connectSocket(`${to.host}/.s.PGSQL.${to.port}`)
      : connectSocket({ ...to, noDelay: true })
    return Object.assign(socket, { host: to.host, server: to }) // the driver reads the TLS server name from `host`
  }
}
