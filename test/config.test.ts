import fc from 'fast-check'
import { ConfigError, configWarnings, readConfig, settingsTable, shownSettings } from '../src/config/config.ts'
import { suite } from './suite.ts'

const t = suite()

const SECRET = 'correct-horse-battery-staple-2026'

/** The errors that these settings cause; empty if the settings are valid. */
function faultsOf(environment: Record<string, string>): string[] {
  try {
    readConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

t.test('readConfig works without any setting', (t) => {
  t.match(readConfig({}), {
    host: '127.0.0.1',
    port: 3000,
    apiKeys: [],
    apiKeysFile: '',
    databaseUrl: '',
    schema: 'usersync',
    dataDir: '.data',
    encryptionKey: '',
    maxBatchUsers: 1_000_000,
    compressionThreshold: 1024,
    reservedDomains: ['test', 'example', 'invalid', 'localhost', 'example.com', 'example.net', 'example.org'],
    logLevel: 'info',
  })
  t.end()
})

t.test('one setting does not change the others, and an empty value means unset', (t) => {
  t.strictSame(readConfig({ PORT: '8080' }), { ...readConfig({}), port: 8080 })
  const names = Object.keys(shownSettings(readConfig({})))
  t.strictSame(readConfig(Object.fromEntries(names.map((name) => [name, '']))), readConfig({}))
  t.end()
})

t.test('spaces and line breaks around a value are ignored', (t) => {
  const key = 'f0'.repeat(32)
  const secret = 's'.repeat(32)
  const config = readConfig({
    PORT: ' 80\r\n',
    ENCRYPTION_KEY: `${key}\n`,
    DATABASE_URL: 'postgres://u:p@h/d\n',
    API_KEYS: `\tci=users:read=${secret}\n`,
    DATA_DIR: '/data \n',
    LOG_LEVEL: ' \n',
  })
  const { port, encryptionKey, databaseUrl, dataDir, logLevel } = config
  const expected = {
    port: 80,
    encryptionKey: key,
    databaseUrl: 'postgres://u:p@h/d',
    dataDir: '/data',
    logLevel: 'info',
  }
  t.strictSame({ port, encryptionKey, databaseUrl, dataDir, logLevel }, expected)
  t.strictSame(config.apiKeys, readConfig({ API_KEYS: `ci=users:read=${secret}` }).apiKeys)
  t.end()
})

t.test('standbys are URLs separated by commas', (t) => {
  const [one, two] = ['postgres://u:a,b@one/x', 'postgresql://two/x?sslmode=require&pgbouncer=true']
  const settings = { DATABASE_URL: 'postgres://h/x', READ_DATABASE_URL: `${one}, ${two}` }
  const config = readConfig(settings)
  t.strictSame(config.readDatabaseUrls, [one, two])
  t.match(configWarnings(settings, config), [/^READ_DATABASE_URL has parameters without an effect: pgbouncer/])
  t.match(shownSettings(config), { READ_DATABASE_URL: 'set' })
  t.end()
})

t.test('reserved domains are stored in their DNS form', (t) => {
  const { reservedDomains } = readConfig({ RESERVED_DOMAINS: 'Bücher.example, xn--bcher-kva.TEST' })
  t.strictSame(reservedDomains, ['xn--bcher-kva.example', 'xn--bcher-kva.test'])
  t.end()
})

t.test('each invalid value is reported with the name of its setting', (t) => {
  const wrong: [string, string][] = [
    ['HOST', 'a b'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '80.5'],
    ['PORT', '1e3'],
    ['PORT', '8 0'],
    ['DATA_DIR', 'd\ufffdta'],
    ['API_KEYS', 'ci=users:read=short'],
    ['DATABASE_URL', 'mysql://localhost/x'],
    ['READ_DATABASE_URL', 'postgres://a/x,mysql://b/x'],
    ['READ_DATABASE_URL', 'postgres://one,two/x'],
    ['READ_DATABASE_URL', 'postgres://a/x?target_session_attrs=primary'],
    ['READ_DATABASE_URL', 'postgres://a/x'],
    ['DB_SCHEMA', 'Users'],
    ['DB_SCHEMA', 'public'],
    ['DB_SCHEMA', 'pg_own'],
    ['DB_SCHEMA', 'a"; drop schema public'],
    ['DB_SCHEMA', 'x'.repeat(51)],
    ['DATABASE_CONNECTIONS', '3'],
    ['ENCRYPTION_KEY', 'f'.repeat(63)],
    ['MAX_BATCH_USERS', '0'],
    ['MAX_WORKERS', '65'],
    ['CHUNK_SIZE', 'many'],
    ['RESERVED_DOMAINS', 'test,,example'],
    ['RESERVED_DOMAINS', '*.example.com'],
    ['COMPRESSION_THRESHOLD_BYTES', '1KB'],
    ['EXPORT_CONCURRENCY', '0'],
    ['IMPORT_LIMIT_MB', '0'],
    ['LISTEN_BACKLOG', '0'],
    ['WAIT_SECONDS', '0'],
    ['DRAIN_DELAY_SECONDS', '601'],
    ['DRAIN_SECONDS', '0'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://'],
    ['LOG_LEVEL', 'INFO'],
  ]
  for (const [variable, value] of wrong) {
    const faults = faultsOf({ [variable]: value })
    t.match(faults, [new RegExp(`^${variable} `)], `${variable}=${value}`)
  }
  t.end()
})

t.test('an invalid database URL is reported by setting name, without its password', (t) => {
  const faults = faultsOf({ DATABASE_URL: 'postgres://u:s3/cret@h/db', PORT: 'x' })
  t.match(faults, [/^PORT /, /^DATABASE_URL expects postgres:.*percent-encoded/])
  t.match(faultsOf({ DATABASE_URL: 'postgres://u:s3cret@h/db?sslmode=on' }), [
    /^DATABASE_URL parameter sslmode must be/,
  ])
  t.notMatch(faults.join(), /s3|cret/)
  t.end()
})

t.test('all invalid settings are reported at once', (t) => {
  const faults = faultsOf({ PORT: 'x', LOG_LEVEL: 'loud', MAX_WORKERS: '0', CHUNK_SIZ: '100' })
  t.strictSame(faults.map((fault) => fault.split(' ')[0]).sort(), ['LOG_LEVEL', 'MAX_WORKERS', 'PORT'])
  t.end()
})

t.test('a variable that resembles a setting causes a warning; other variables do not', (t) => {
  const warningsOf = (environment: Record<string, string>) => configWarnings(environment, readConfig(environment))
  t.strictSame(warningsOf({ MAX_WORKER: '4' }), ['MAX_WORKER is not a setting; did you mean MAX_WORKERS?'])
  t.match(warningsOf({ COMPRESSION_TRESHOLD_BYTES: '1' }), [/did you mean COMPRESSION_THRESHOLD_BYTES\?/])
  for (const name of ['API_KEY', 'DATABASE_URI', 'LOGLEVEL', 'DATA_DIRS', 'max_workers']) {
    t.match(warningsOf({ [name]: 'x' }), [new RegExp(`^${name} is not a setting`)])
  }
  t.strictSame(
    warningsOf({ PATH: '/bin', HOSTNAME: 'box', HOME: '/', PGHOST: 'db', npm_config_cache: 'x', SORT: '1' }),
    [],
  )
  const DATABASE_URL = 'postgres://u:s3cret@h/db?schema=app&pgbouncer=true'
  t.match(warningsOf({ DATABASE_URL }), [/^DATABASE_URL has parameters without an effect: schema .*, pgbouncer [^?]*$/])
  t.end()
})

t.test('the service listens for other machines only if a key is set', (t) => {
  const API_KEYS = `ci=users:read=${SECRET}`
  for (const HOST of ['0.0.0.0', '::', '10.0.0.7', 'usersync.internal', '127.0.0.1.example.com']) {
    t.match(faultsOf({ HOST }), [/^HOST .*API_KEYS/], HOST)
    t.strictSame(faultsOf({ HOST, API_KEYS }), [], HOST)
  }
  for (const HOST of ['127.0.0.1', '127.8.8.8', '::1', 'localhost', 'LOCALHOST', 'Localhost']) {
    t.strictSame(faultsOf({ HOST }), [], HOST)
  }
  t.end()
})

t.test('the export concurrency leaves database connections for other requests', (t) => {
  t.match(faultsOf({ EXPORT_CONCURRENCY: '2', DATABASE_CONNECTIONS: '4' }), [/^EXPORT_CONCURRENCY .*DATABASE_CONN/])
  t.strictSame(faultsOf({ EXPORT_CONCURRENCY: '1', DATABASE_CONNECTIONS: '4' }), [])
  t.end()
})

t.test('the config is frozen', (t) => {
  t.ok(Object.isFrozen(readConfig({})))
  t.end()
})

t.test('no secret is shown', (t) => {
  const databaseUrl = 'postgres://usersync:db-secret@db/usersync'
  const encryptionKey = 'ab'.repeat(32)
  const config = readConfig({
    API_KEYS: `ci=admin=${SECRET}`,
    DATABASE_URL: databaseUrl,
    ENCRYPTION_KEY: encryptionKey,
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://usersync:collector-secret@collector',
    PORT: '8080',
  })
  const shown = shownSettings(config)
  t.match(shown, { API_KEYS: 'set', DATABASE_URL: 'set', ENCRYPTION_KEY: 'set', PORT: 8080 })
  t.match(shownSettings(readConfig({})), { API_KEYS: 'unset', DATABASE_URL: 'unset', ENCRYPTION_KEY: 'unset' })
  for (const secret of [SECRET, 'db-secret', 'collector-secret', encryptionKey])
    t.notOk(JSON.stringify(shown).includes(secret))
  t.strictSame(
    faultsOf({ API_KEYS: `ci=root=${SECRET}` }).filter((fault) => fault.includes(SECRET)),
    [],
  )
  t.end()
})

t.test('any value of a variable is either accepted or rejected with the variable’s name', (t) => {
  const names = Object.keys(shownSettings(readConfig({})))
  const variable = fc.constantFrom(...names)
  fc.assert(
    fc.property(variable, fc.oneof(fc.string(), fc.nat().map(String)), (name, value) => {
      const faults = faultsOf({ [name]: value })
      return faults.every((fault) => fault.includes(name))
    }),
  )
  t.end()
})

t.test('the settings table has a row for each setting', (t) => {
  const rows = settingsTable().split('\n').slice(2)
  t.strictSame(
    rows.map((row) => row.split('`')[1]),
    Object.keys(shownSettings(readConfig({}))),
  )
  t.end()
})
