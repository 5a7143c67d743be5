import { availableParallelism } from 'node:os'
import { type ApiKey, parseApiKeys } from './http/api-keys.ts'
import { isLoopback } from './http/loopback.ts'

/** What the service runs by: every setting read, checked and frozen. */
export type Config = Readonly<{ [Key in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Key]['parse']> }>

interface Setting<Value> {
  variable: string
  /** As it would be written in the environment; empty: unset. */
  fallback: string
  unit: string
  description: string
  /** Gives the value of the text; throws an Error whose message says what is expected. */
  parse: (text: string) => Value
  secret?: true
}

const setting = <Value>(setting: Setting<Value>) => setting

const integer = (least: number, most: number) => (text: string) => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new Error(`expects a whole number from ${least} to ${most}`)
  return value
}

const oneOf =
  <const Value extends string>(...values: Value[]) =>
  (text: string) => {
    const value = values.find((candidate) => candidate === text)
    if (value === undefined) throw new Error(`expects one of ${values.join(', ')}`)
    return value
  }

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** Seconds. */
const duration = (text: string) => {
  const [, amount = '', unit = ''] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (amount === '') throw new Error('expects a whole number and s, m, h or d, such as 90s or 30d')
  return Number(amount) * SECONDS[unit as keyof typeof SECONDS]
}

const matching = (pattern: RegExp, expectation: string) => (text: string) => {
  if (!pattern.test(text)) throw new Error(`expects ${expectation}`)
  return text
}

const databaseUrl = (text: string) => {
  if (text !== '' && !/^postgres(ql)?:\/\/./.test(text))
    throw new Error('expects postgres://user:password@host:port/database')
  return text
}

const collectorUrl = (text: string) => {
  if (text !== '' && !(/^https?:\/\/./.test(text) && URL.canParse(text)))
    throw new Error('expects http:// or https:// and a host, such as http://localhost:4318')
  return text
}

const domains = (text: string) => {
  const list = text
    .toLowerCase()
    .split(',')
    .map((domain) => domain.trim())
  if (!list.every((domain) => /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(domain)))
    throw new Error('expects domains with commas between')
  return list
}

const encryptionKey = (text: string) => {
  if (text !== '' && !/^[0-9a-f]{64}$/i.test(text))
    throw new Error('expects 64 hexadecimal digits (openssl rand -hex 32)')
  return text
}

/** The single place that names a setting: the README's table is made from it. */
const SETTINGS = {
  host: setting({
    variable: 'HOST',
    fallback: '127.0.0.1',
    unit: 'address',
    description: 'Address to listen on. Anything but loopback needs `API_KEYS` or `API_KEYS_FILE`.',
    parse: matching(/^[\w.:-]+$/, 'an address or a host name'),
  }),
  port: setting({
    variable: 'PORT',
    fallback: '3000',
    unit: 'port',
    description: 'Port to listen on; 0 takes a free one.',
    parse: integer(0, 65_535),
  }),
  apiKeys: setting<ApiKey[]>({
    variable: 'API_KEYS',
    fallback: '',
    unit: 'name=scope+scope=secret',
    description:
      'Keys with commas between; scopes `users:read`, `users:write`, `credentials:read`, `admin` (holds all); secrets of 32 characters or more.',
    parse: parseApiKeys,
    secret: true,
  }),
  apiKeysFile: setting({
    variable: 'API_KEYS_FILE',
    fallback: '',
    unit: 'path',
    description:
      'File of further keys, one a line, `#` before a comment. It is read anew within 2 s of a change, without a restart.',
    parse: matching(/^/, 'a path'),
  }),
  databaseUrl: setting({
    variable: 'DATABASE_URL',
    fallback: '',
    unit: 'URL',
    description: 'PostgreSQL 15 to 18. Unset: the embedded PostgreSQL, kept in `DATA_DIR`.',
    parse: databaseUrl,
    secret: true,
  }),
  schema: setting({
    variable: 'DB_SCHEMA',
    fallback: 'usersync',
    unit: 'name',
    description: 'Schema of the tables, made if missing.',
    parse: matching(/^[a-z_][a-z0-9_]{0,49}$/, 'a lower-case name of at most 50 letters, digits and _'),
  }),
  schemaMode: setting({
    variable: 'SCHEMA_MODE',
    fallback: 'always',
    unit: 'mode',
    description:
      'Who makes the schema and brings it up to date: this program at its start (`always`), only in its embedded database (`embedded`), or never this program (`never`).',
    parse: oneOf('always', 'embedded', 'never'),
  }),
  databaseConnections: setting({
    variable: 'DATABASE_CONNECTIONS',
    fallback: '16',
    unit: 'connections',
    description: 'Connections of the main thread. Each worker has one more, and one listens.',
    parse: integer(4, 1000),
  }),
  dataDir: setting({
    variable: 'DATA_DIR',
    fallback: '.data',
    unit: 'path',
    description: 'Folder of the embedded database, the made encryption key and the export cache.',
    parse: matching(/./, 'a path'),
  }),
  encryptionKey: setting({
    variable: 'ENCRYPTION_KEY',
    fallback: '',
    unit: '64 hex digits',
    description:
      'Encrypts stored passwords, signs cursors. Unset: made once in `DATA_DIR`. Replicas on one database need the same.',
    parse: encryptionKey,
    secret: true,
  }),
  maxBatchUsers: setting({
    variable: 'MAX_BATCH_USERS',
    fallback: '1000000',
    unit: 'users',
    description: 'The most users that one batch may ask for, and rows of one import.',
    parse: integer(1, 100_000_000),
  }),
  maxWorkers: setting({
    variable: 'MAX_WORKERS',
    fallback: String(Math.min(4, Math.max(2, availableParallelism()))),
    unit: 'threads',
    description: 'Worker threads, each with a database connection of its own. Default: the cores, from 2 to 4.',
    parse: integer(1, 64),
  }),
  chunkSize: setting({
    variable: 'CHUNK_SIZE',
    fallback: '5000',
    unit: 'users',
    description: 'Users made in one transaction, unless the batch says otherwise.',
    parse: integer(1, 50_000),
  }),
  memoryLimitMb: setting({
    variable: 'MEMORY_LIMIT_MB',
    fallback: '1536',
    unit: 'MiB',
    description:
      'Above this resident memory new work is refused with 503 until it falls; work that was accepted goes on.',
    parse: integer(128, 1_048_576),
  }),
  reservedDomains: setting({
    variable: 'RESERVED_DOMAINS',
    fallback: 'test,example,invalid,localhost,example.com,example.net,example.org',
    unit: 'domains',
    description: 'Test users may have addresses of these domains and those below them (RFC 2606, RFC 6761).',
    parse: domains,
  }),
  compressionThreshold: setting({
    variable: 'COMPRESSION_THRESHOLD_BYTES',
    fallback: '1024',
    unit: 'bytes',
    description: 'Answers below this size go out as they are.',
    parse: integer(0, 1_048_576),
  }),
  baseRetention: setting({
    variable: 'BASE_RETENTION',
    fallback: '30d',
    unit: 'duration',
    description:
      'How long a delta can lead on from a state that is no more the present one, such as `90s`, `12h`, `30d`; after that the answer is full, `expired`.',
    parse: duration,
  }),
  auditRetention: setting({
    variable: 'AUDIT_RETENTION',
    fallback: '90d',
    unit: 'duration',
    description: 'How long the audit trail remembers a change.',
    parse: duration,
  }),
  exportConcurrency: setting({
    variable: 'EXPORT_CONCURRENCY',
    fallback: '4',
    unit: 'exports',
    description: 'Exports that read the database at once; the next wait (`WAIT_SECONDS`).',
    parse: integer(1, 100),
  }),
  exportCacheMb: setting({
    variable: 'EXPORT_CACHE_MB',
    fallback: '512',
    unit: 'MiB',
    description:
      'Encoded exports kept in `DATA_DIR/exports`, so that all who ask for the same state cost one; 0 switches it off.',
    parse: integer(0, 1_048_576),
  }),
  importLimitMb: setting({
    variable: 'IMPORT_LIMIT_MB',
    fallback: '1024',
    unit: 'MiB',
    description: 'The largest body that an import takes, as it is when it is decoded.',
    parse: integer(1, 1_048_576),
  }),
  maxConnections: setting({
    variable: 'MAX_CONNECTIONS',
    fallback: '12000',
    unit: 'connections',
    description: 'Clients connected at once; a further one is hung up on. Each takes a file handle (`ulimit -n`).',
    parse: integer(10, 1_000_000),
  }),
  maxRequests: setting({
    variable: 'MAX_REQUESTS',
    fallback: '2000',
    unit: 'requests',
    description: 'Requests in progress at once; the next get 503 with `Retry-After`. Health is always answered.',
    parse: integer(1, 1_000_000),
  }),
  listenBacklog: setting({
    variable: 'LISTEN_BACKLOG',
    fallback: '4096',
    unit: 'connections',
    description:
      'Connections that may wait to be accepted; the kernel allows `net.core.somaxconn` at the most, and has clients beyond that try again.',
    parse: integer(1, 65_535),
  }),
  waitSeconds: setting({
    variable: 'WAIT_SECONDS',
    fallback: '5',
    unit: 'seconds',
    description:
      'How long a request waits for a database connection, or its place among the exports, imports or pushes that come in; then 503.',
    parse: integer(1, 60),
  }),
  rateLimit: setting({
    variable: 'RATE_LIMIT',
    fallback: '0',
    unit: 'requests a minute',
    description: 'Of one key (without keys: of one address), counted by each replica; the next get 429. 0: no limit.',
    parse: integer(0, 10_000_000),
  }),
  drainDelaySeconds: setting({
    variable: 'DRAIN_DELAY_SECONDS',
    fallback: '0',
    unit: 'seconds',
    description:
      'How long a stop goes on to serve, `/readyz` saying 503, before it closes the port; and how long connections are then kept for a last answer. Longer than proxies or Kubernetes take to send elsewhere; 0: both at once.',
    parse: integer(0, 600),
  }),
  drainSeconds: setting({
    variable: 'DRAIN_SECONDS',
    fallback: '20',
    unit: 'seconds',
    description: 'How long a stop waits for requests and chunks in work, `DRAIN_DELAY_SECONDS` apart.',
    parse: integer(1, 3600),
  }),
  otlpEndpoint: setting({
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    fallback: '',
    unit: 'URL',
    description:
      'OpenTelemetry collector that takes OTLP over HTTP; `/v1/traces` is added. Unset: nothing is traced. With it the standard `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read too.',
    parse: collectorUrl,
    secret: true,
  }),
  logLevel: setting({
    variable: 'LOG_LEVEL',
    fallback: 'info',
    unit: 'level',
    description: 'fatal, error, warn, info, debug, trace or silent.',
    parse: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  }),
}

/** Thrown with every fault of the settings at once, one a line. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/**
 * Reads the settings from environment variables. An empty variable counts as unset. Throws one ConfigError that names
 * every setting that is wrong, and every variable that looks like a setting misspelt.
 */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const faults: string[] = []
  const values: Record<string, unknown> = {}
  for (const [key, { variable, fallback, parse }] of Object.entries(SETTINGS)) {
    try {
      values[key] = parse(environment[variable] || fallback)
    } catch (error) {
      faults.push(`${variable} ${(error as Error).message}`)
    }
  }
  for (const name of Object.keys(environment)) {
    const meant = misspelt(name)
    if (meant) faults.push(`${name} is not a setting; did you mean ${meant}?`)
  }
  const config = values as Config
  if (faults.length === 0) faults.push(...contradictions(config))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return Object.freeze(config)
}

/** Whether requests need a key; else everything is open, to this machine alone. */
export const asksForKeys = ({ apiKeys, apiKeysFile }: Config): boolean => apiKeys.length > 0 || apiKeysFile !== ''

function contradictions(config: Config): string[] {
  const faults: string[] = []
  if (!asksForKeys(config) && !isLoopback(config.host)) {
    faults.push(`HOST ${config.host} can be reached from outside, so API_KEYS or API_KEYS_FILE must be set`)
  }
  if (config.exportConcurrency > config.databaseConnections - 3) {
    faults.push('EXPORT_CONCURRENCY must leave 3 of DATABASE_CONNECTIONS to other requests')
  }
  return faults
}

/** The setting that an unknown variable differs from by one or two letters; short names are too near to other words. */
function misspelt(name: string): string | undefined {
  const variables = Object.values(SETTINGS).map(({ variable }) => variable)
  if (name.length < 7 || variables.includes(name)) return undefined
  return variables.find((variable) => variable.length >= 7 && editDistance(name.toUpperCase(), variable) <= 2)
}

/** Levenshtein's distance, row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** The settings in force by their variables, for the log; a secret only as set or unset. */
export function shownSettings(config: Config): Record<string, unknown> {
  const shown = Object.entries(SETTINGS).map(([key, { variable, secret }]) => {
    const value = config[key as keyof Config]
    return [variable, secret ? (value.toString() === '' ? 'unset' : 'set') : value]
  })
  return Object.fromEntries(shown)
}

/** The README's table of settings, in Markdown. */
export function settingsTable(): string {
  const rows = Object.values(SETTINGS).map(({ variable, fallback, unit, description }) => {
    const shown = variable === 'MAX_WORKERS' ? 'cores' : fallback === '' ? 'unset' : `\`${fallback}\``
    return `| \`${variable}\` | ${shown} | ${unit} | ${description} |`
  })
  return ['| setting | default | unit | what it does |', '| --- | --- | --- | --- |', ...rows].join('\n')
}
