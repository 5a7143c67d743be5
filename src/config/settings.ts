import { availableParallelism } from 'node:os'
import { type ApiKey, parseApiKeys } from '../auth/api-keys.ts'
import { collectorUrl, databaseUrl, domains, duration, encryptionKey, integer, matching, oneOf } from './parse.ts'

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

/** The single place that names a setting: the README's table is made from it. */
export const SETTINGS = {
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
      'Keys with commas between; scopes `users:read`, `users:write`, `credentials:read`, `admin` (holds all); `users:read@shop` holds in the pool `shop` only, `admin` is never bound to a pool; each key has its own secret, of 32 or more visible ASCII characters.',
    parse: parseApiKeys,
    secret: true,
  }),
  apiKeysFile: setting({
    variable: 'API_KEYS_FILE',
    fallback: '',
    unit: 'path',
    description:
      'File of further keys, one a line; a comment has a line of its own, which begins with `#`. It is read anew within 2 s of a change, without a restart.',
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
    description: 'Schema of the tables, made if missing. Not `public`, where others may create objects.',
    parse: matching(
      /^(?!public$|information_schema$|pg_)[a-z_][a-z0-9_]{0,49}$/,
      'a lower-case name of at most 50 letters, digits and _, and not public, information_schema or pg_…',
    ),
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
    description:
      'Connections for requests. Each worker has one more; health has one, `LISTEN` one, and uploads up to six.',
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
    description:
      'Of one key, or of one address for requests without a valid key, counted by each replica; the next get 429. All but health count, refused ones too. 0: no limit.',
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
