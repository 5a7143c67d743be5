import { availableParallelism } from 'node:os'
import { type ApiKey, parseApiKeys } from './api-keys.ts'
import {
  collectorUrl,
  databaseUrl,
  domains,
  duration,
  encryptionKey,
  hosts,
  integer,
  matching,
  oneOf,
  standbyUrls,
} from './parse.ts'

interface Setting<Value> {
  variable: string
  /** As written in the environment. Empty: unset. */
  fallback: string
  unit: string
  description: string
  /** Parses the text. Throws an Error whose message says what is expected. */
  parse: (text: string) => Value
  secret?: true
}

const setting = <Value>(setting: Setting<Value>) => setting

/** The only place that names a setting. The table in docs/configuration.md is generated from it. */
export const SETTINGS = {
  host: setting({
    variable: 'HOST',
    fallback: '127.0.0.1',
    unit: 'address',
    description: 'Address to listen on. Any address but loopback needs `API_KEYS` or `API_KEYS_FILE`.',
    parse: matching(/^[\w.:-]+$/, 'an address or a host name'),
  }),
  port: setting({
    variable: 'PORT',
    fallback: '3000',
    unit: 'port',
    description: 'Port to listen on. 0: a free port.',
    parse: integer(0, 65_535),
  }),
  apiKeys: setting<ApiKey[]>({
    variable: 'API_KEYS',
    fallback: '',
    unit: 'name=scope+scope=secret',
    description:
      'Keys, separated by commas. Scopes: `users:read`, `users:write`, `users:lease`, `credentials:read`, `admin` (includes all). `users:read@shop` holds in the pool `shop` only; `admin` cannot be bound to a pool. Each key has its own secret of at least 32 visible ASCII characters.',
    parse: parseApiKeys,
    secret: true,
  }),
  apiKeysFile: setting({
    variable: 'API_KEYS_FILE',
    fallback: '',
    unit: 'path',
    description:
      'File with more keys, one per line. A comment is a line that begins with `#`. A change takes effect within 2 s, without a restart.',
    parse: matching(/^/, 'a path'),
  }),
  databaseUrl: setting({
    variable: 'DATABASE_URL',
    fallback: '',
    unit: 'URL',
    description: 'PostgreSQL 15 to 18. Unset: the embedded PostgreSQL in `DATA_DIR`.',
    parse: databaseUrl,
    secret: true,
  }),
  readDatabaseUrls: setting({
    variable: 'READ_DATABASE_URL',
    fallback: '',
    unit: 'URLs',
    description:
      'Streaming standbys of `DATABASE_URL`, separated by commas: exports read their users there ([Standbys](scale.md#standbys)). `EXPORT_CONCURRENCY` + 1 connections to each.',
    parse: standbyUrls,
    secret: true,
  }),
  schema: setting({
    variable: 'DB_SCHEMA',
    fallback: 'usersync',
    unit: 'name',
    description:
      'Schema of the tables, created if missing. `public` is refused, because other roles may create objects there.',
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
      'When this program creates or migrates the schema at its start: `always`, only in its `embedded` database, or `never`.',
    parse: oneOf('always', 'embedded', 'never'),
  }),
  databaseConnections: setting({
    variable: 'DATABASE_CONNECTIONS',
    fallback: '16',
    unit: 'connections',
    description:
      'Connections for requests. In addition each worker thread uses one, health one, `LISTEN` one, uploads up to six, and leases up to six.',
    parse: integer(4, 1000),
  }),
  dataDir: setting({
    variable: 'DATA_DIR',
    fallback: '.data',
    unit: 'path',
    description: 'Folder of the embedded database, the generated encryption key and the export cache.',
    parse: matching(/./, 'a path'),
  }),
  encryptionKey: setting({
    variable: 'ENCRYPTION_KEY',
    fallback: '',
    unit: '64 hex digits',
    description:
      'Encrypts stored passwords and signs cursors. Unset: generated once in `DATA_DIR`. Replicas on one database need the same key.',
    parse: encryptionKey,
    secret: true,
  }),
  maxBatchUsers: setting({
    variable: 'MAX_BATCH_USERS',
    fallback: '1000000',
    unit: 'users',
    description: 'Maximum number of users in one batch, and of rows in one import.',
    parse: integer(1, 100_000_000),
  }),
  maxWorkers: setting({
    variable: 'MAX_WORKERS',
    fallback: String(Math.min(4, Math.max(2, availableParallelism()))),
    unit: 'threads',
    description:
      'Worker threads, each with its own database connection. Default: the number of cores, but at least 2 and at most 4.',
    parse: integer(1, 64),
  }),
  chunkSize: setting({
    variable: 'CHUNK_SIZE',
    fallback: '5000',
    unit: 'users',
    description: 'Users created per transaction, unless the batch sets `chunk_size`.',
    parse: integer(1, 50_000),
  }),
  memoryLimitMb: setting({
    variable: 'MEMORY_LIMIT_MB',
    fallback: '1536',
    unit: 'MiB',
    description:
      'Limit of resident memory. Above it new work is refused with 503 until memory falls; accepted work continues.',
    parse: integer(128, 1_048_576),
  }),
  reservedDomains: setting({
    variable: 'RESERVED_DOMAINS',
    fallback: 'test,example,invalid,localhost,example.com,example.net,example.org',
    unit: 'domains',
    description: 'Domains, with their subdomains, that addresses of test users may have (RFC 2606, RFC 6761).',
    parse: domains,
  }),
  targetHosts: setting({
    variable: 'TARGET_HOSTS',
    fallback: '',
    unit: 'hosts',
    description:
      'Hosts, separated by commas, that users may be written to besides this machine, by targets of other kinds than `usersync`. A host is named as in the URL of the target.',
    parse: hosts,
  }),
  compressionThreshold: setting({
    variable: 'COMPRESSION_THRESHOLD_BYTES',
    fallback: '1024',
    unit: 'bytes',
    description: 'Responses below this size are not compressed.',
    parse: integer(0, 1_048_576),
  }),
  baseRetention: setting({
    variable: 'BASE_RETENTION',
    fallback: '30d',
    unit: 'duration',
    description:
      'How long a state stays usable as the base of a delta after it has ceased to be the present state, such as `90s`, `12h`, `30d`. After that the answer is the full export, `expired`.',
    parse: duration,
  }),
  auditRetention: setting({
    variable: 'AUDIT_RETENTION',
    fallback: '90d',
    unit: 'duration',
    description: 'How long audit events, and leases that are over, are kept.',
    parse: duration,
  }),
  exportConcurrency: setting({
    variable: 'EXPORT_CONCURRENCY',
    fallback: '4',
    unit: 'exports',
    description: 'Maximum number of exports that read the database at once. Further exports wait (`WAIT_SECONDS`).',
    parse: integer(1, 100),
  }),
  exportCacheMb: setting({
    variable: 'EXPORT_CACHE_MB',
    fallback: '512',
    unit: 'MiB',
    description:
      'Size of the cache of encoded exports in `DATA_DIR/exports`: clients that request the same state share one export. Evicted exports stay on the disk while clients read them, up to twice as much. 0: no cache.',
    parse: integer(0, 1_048_576),
  }),
  sharedCache: setting({
    variable: 'SHARED_CACHE',
    fallback: 'off',
    unit: 'on or off',
    description:
      '`on`: a shared HTTP cache may store what was sent to a key, for that key alone ([Caches](caches.md)). Without keys it may always.',
    parse: oneOf('off', 'on'),
  }),
  importLimitMb: setting({
    variable: 'IMPORT_LIMIT_MB',
    fallback: '1024',
    unit: 'MiB',
    description: 'Maximum size of the body of an import or of an export sent to a replica, after decoding.',
    parse: integer(1, 1_048_576),
  }),
  maxConnections: setting({
    variable: 'MAX_CONNECTIONS',
    fallback: '12000',
    unit: 'connections',
    description:
      'Maximum number of open client connections. Further connections are closed. Each uses a file handle (`ulimit -n`).',
    parse: integer(10, 1_000_000),
  }),
  maxRequests: setting({
    variable: 'MAX_REQUESTS',
    fallback: '2000',
    unit: 'requests',
    description:
      'Maximum number of requests in progress. Further requests get 503 with `Retry-After`. Health is always answered.',
    parse: integer(1, 1_000_000),
  }),
  listenBacklog: setting({
    variable: 'LISTEN_BACKLOG',
    fallback: '4096',
    unit: 'connections',
    description:
      'Maximum number of connections that wait to be accepted. The kernel caps it at `net.core.somaxconn`; clients beyond that retry.',
    parse: integer(1, 65_535),
  }),
  waitSeconds: setting({
    variable: 'WAIT_SECONDS',
    fallback: '5',
    unit: 'seconds',
    description:
      'How long a request waits for a database connection, or for its place among the exports, imports or received pushes. After that: 503.',
    parse: integer(1, 60),
  }),
  rateLimit: setting({
    variable: 'RATE_LIMIT',
    fallback: '0',
    unit: 'requests a minute',
    description:
      'Maximum per key, or per client address if the key is missing or invalid. Each replica counts by itself. Further requests get 429. All requests but health count, refused ones too. 0: no limit.',
    parse: integer(0, 10_000_000),
  }),
  drainDelaySeconds: setting({
    variable: 'DRAIN_DELAY_SECONDS',
    fallback: '0',
    unit: 'seconds',
    description:
      'How long the service keeps serving after SIGTERM, with `/readyz` at 503, before it closes the port; then how long it keeps open connections for a last response. Set it longer than proxies or Kubernetes take to send elsewhere. 0: no delay.',
    parse: integer(0, 600),
  }),
  drainSeconds: setting({
    variable: 'DRAIN_SECONDS',
    fallback: '20',
    unit: 'seconds',
    description:
      'How long a stop waits for requests and chunks in progress, in addition to twice `DRAIN_DELAY_SECONDS`.',
    parse: integer(1, 3600),
  }),
  otlpEndpoint: setting({
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    fallback: '',
    unit: 'URL',
    description:
      'OpenTelemetry collector for OTLP over HTTP; the service appends `/v1/traces`. Unset: no traces. If set, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` apply too.',
    parse: collectorUrl,
    secret: true,
  }),
  logLevel: setting({
    variable: 'LOG_LEVEL',
    fallback: 'info',
    unit: 'level',
    description: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`.',
    parse: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  }),
  logFormat: setting({
    variable: 'LOG_FORMAT',
    fallback: 'auto',
    unit: 'format',
    description:
      '`json`: one object per line. `text`: time, level, message and fields, for people. `auto`: `text` on a terminal, `json` elsewhere.',
    parse: oneOf('auto', 'json', 'text'),
  }),
}
