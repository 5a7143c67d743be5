import { connect as connectSocket, type Socket } from 'node:net'
import type { Sql } from 'postgres'
import { refuseAuthentication } from './authentication.ts'
import { type DatabaseAddress, parseDatabaseUrl } from './database-url.ts'
import { postgres } from './driver.ts'
import { watchSilence } from './silence.ts'
import { tlsOptions } from './tls.ts'

interface ConnectOptions {
  url: string
  schema: string
  /** Connections at the most; further queries wait. */
  connections: number
  /** Told to PostgreSQL, so that `pg_stat_activity` shows who is who. */
  name: string
  /** Whether statements are the service's: those never change who is not a test user (migrations/0003_protect_users.sql). */
  isService?: boolean
  /** After so long without a statement PostgreSQL ends a transaction, and gives back what it has locked. */
  longestIdleMs?: number
  /** How long a statement waits for a lock; 5 s if it is not given. */
  lockTimeoutMs?: number | undefined
  /** How long a query waits for a connection; 5 s if it is not given. */
  waitMs?: number
}

/** A connection that is not open by then is given up, and another is tried. */
const LONGEST_CONNECT_SECONDS = 5

const asItIs = (text: string) => text

/** No statement of the service is meant to take longer; the longest is the deletion of a batch of a million users. */
const STATEMENT_TIMEOUT_MS = 300_000

/**
 * A statement that waits longer for a lock fails, and its request with 503. Otherwise one lock could occupy every connection.
 * Where waiting is the point, a longer timeout is set by name.
 */
const LOCK_TIMEOUT_MS = 5_000

/** A reader of an export who takes nothing for this long loses the snapshot that is held for it. */
const IDLE_TRANSACTION_TIMEOUT_MS = 120_000

/**
 * Settings of a session that results depend on, whatever ALTER ROLE, ALTER DATABASE or `options` of DATABASE_URL say. They stand
 * in the startup message and win over those.
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
  idle_session_timeout: '0', // the connection that listens is idle
  row_security: 'off', // a policy that hides rows is an error instead of an export without them
}

/** `transaction_timeout` came with PostgreSQL 17. A statement and an idle transaction have limits of their own. */
const SESSION_SQL = `
  select set_config('transaction_timeout', '0', false) where current_setting('transaction_timeout', true) is not null`

/**
 * Seconds before a connection that was lost, or could not be opened, is tried again. The driver's own grow to 20: so long a
 * database that is back would be taken for absent.
 */
const backoff = (failures: number) => (0.5 + Math.random() / 2) * Math.min(0.1 * 2 ** failures, 1)

/**
 * The one place that makes a connection pool. Connections are opened when first used.
 *
 * - `search_path` is the service's schema alone, so that queries name tables as they are.
 * - Nagle's algorithm is off: with it each round trip of several small packets waits for a delayed acknowledgement
 *   (1.3 ms for an insert, 87 ms for a COPY, against 0.3 and 0.6 ms without). postgres.js has no setting for it.
 * - Timestamps come and go as text, so that they keep their microseconds, and JSON goes as text. (drizzle sets the client
 *   that it is given to the same; so a client is one and the same with it and without.)
 * - No wait is without end: not for a connection (driver.ts), not for a server that has fallen silent (silence.ts), not for a
 *   lock, and a statement or a transaction that takes too long is ended by PostgreSQL.
 * - 64-bit numbers come as text, since a JavaScript number holds 53 bits.
 * - Plans are made without the values of parameters. Statistics that do not know a pool make the planner expect a single row
 *   of it, so that any index that begins with `pool_id` looks as good as the right one: a user was read by its key through
 *   all users of the pool. Without the value the planner takes the average pool. keepIndexOrder is the exception.
 */
export function connect(options: ConnectOptions): Sql {
  const { url, schema, connections, name, isService = false } = options
  const { longestIdleMs = IDLE_TRANSACTION_TIMEOUT_MS, lockTimeoutMs = LOCK_TIMEOUT_MS, waitMs } = options
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
      idle_in_transaction_session_timeout: longestIdleMs,
    },
    // options that the driver's types lack; `session`, `refuse`, `watch` and `wait` are ours (driver.ts)
    ...({
      socket: socketOpener(),
      session: SESSION_SQL,
      refuse: refuseAuthentication(address),
      watch: watchSilence(STATEMENT_TIMEOUT_MS),
      wait: waitMs,
    } as object),
  })
}

/** The driver reads PGHOST, PGUSER and the like for what the address lacks. */
function driverOptions(address: DatabaseAddress) {
  const { hosts, user, password, database, keepAliveSeconds, requirePrimary, sslNegotiation } = address
  return {
    // lists, which the driver's types lack
    ...(hosts.length > 0 && ({ host: hosts.map(({ host }) => host), port: hosts.map(({ port }) => port) } as object)),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { database }),
    ...(keepAliveSeconds !== undefined && { keep_alive: keepAliveSeconds }),
    ...(requirePrimary && { target_session_attrs: 'primary' as const }),
    ...(sslNegotiation === 'direct' && { sslnegotiation: sslNegotiation }),
    ssl: tlsOptions(address),
    connect_timeout: address.connectTimeoutSeconds ?? LONGEST_CONNECT_SECONDS,
  }
}

interface Server {
  host: string
  port: number
}

/**
 * Returns the function that opens sockets for the driver, to its hosts in turn, or to a given server. The socket is still
 * connecting: the driver's writes wait in it, and its error and close reach the driver, which then tries again. A promise that
 * rejects would instead cost the pool the connection (postgres.js 3.4.9).
 */
function socketOpener() {
  let turn = 0
  return ({ host, port }: { host: string[]; port: number[] }, server?: Server): Socket => {
    const index = server ? 0 : turn++ % host.length
    const to = server ?? { host: host[index] ?? 'localhost', port: port[index] ?? 5432 }
    const socket = to.host.startsWith('/')
      ? connectSocket(`${to.host}/.s.PGSQL.${to.port}`)
      : connectSocket({ ...to, noDelay: true })
    return Object.assign(socket, { host: to.host, server: to }) // the driver takes the name for TLS from `host`
  }
}
