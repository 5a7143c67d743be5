import { type DatabaseAddress, describeAddress, parseDatabaseUrl } from '../../src/database/database-url.ts'
import { suite } from '../suite.ts'

const t = suite()

const one = (host: string, port = 5432) => ({ hosts: [{ host, port }] })

t.test('parseDatabaseUrl accepts the URLs that libpq accepts', (t) => {
  const taken: Record<string, Partial<DatabaseAddress>> = {
    'postgres://usersync:s3cret@db.internal:6432/app': {
      ...one('db.internal', 6432),
      user: 'usersync',
      password: 's3cret',
      database: 'app',
      sslMode: 'prefer',
      requireScram: false,
      unused: [],
    },
    'postgresql://usersync@10.0.0.7/usersync': { ...one('10.0.0.7'), user: 'usersync' },
    'postgres://localhost/usersync': { ...one('localhost'), database: 'usersync' },
    'postgres:///usersync': { hosts: [], database: 'usersync' },
    'postgres://': { hosts: [] },
    'postgres://u:%2F%23%25%40%3A%C3%BC@h/db': { password: '/#%@:ü' },
    'postgres://u:s3:cret+!$&=~@h/db': { password: 's3:cret+!$&=~' },
    'postgres://u:s3cret@h/db\n': { database: 'db' },
    'postgres://u:p@h/d%2Fb': { database: 'd/b' },
    'postgres://u:p@[::1]:6432/db': one('::1', 6432),
    'postgres://u:p@[2001:db8::7]/db': one('2001:db8::7'),
    'postgres:///db?host=/var/run/postgresql': one('/var/run/postgresql'),
    'postgres://u:p@/db?host=/cloudsql/a:b:c&port=6432': one('/cloudsql/a:b:c', 6432),
    'postgres://%2Fvar%2Frun%2Fpostgresql/db': one('/var/run/postgresql'),
    'postgres://u:p@%2Fvar%2Frun:6432/db': one('/var/run', 6432),
    'postgres://u:p@h1,h2:6432/db': {
      hosts: [
        { host: 'h1', port: 5432 },
        { host: 'h2', port: 6432 },
      ],
      requirePrimary: true,
    },
    'postgres:///db?host=h1,h2&port=6432': {
      hosts: [
        { host: 'h1', port: 6432 },
        { host: 'h2', port: 6432 },
      ],
    },
    'postgres://h/db?user=u&password=a%40b+c&dbname=other': { user: 'u', password: 'a@b+c', database: 'other' },
    'postgres://h/db?sslmode=disable': { sslMode: 'disable' },
    'postgres://h/db?sslmode=verify-full&sslrootcert=/ca.pem': { sslMode: 'verify-full', sslRootCert: '/ca.pem' },
    'postgres://h/db?sslmode=require&sslrootcert=/ca.pem': { sslMode: 'verify-ca' },
    'postgres://h/db?sslrootcert=system': { sslMode: 'verify-full' },
    'postgres://h/db?sslcert=/c.pem&sslkey=/k.pem&sslnegotiation=direct&sslmode=require': {
      sslCert: '/c.pem',
      sslKey: '/k.pem',
      sslNegotiation: 'direct',
    },
    'postgres://h/db?ssl=true': { sslMode: 'require' },
    'postgres://h/db?connect_timeout=10&keepalives=1&keepalives_idle=30': {
      connectTimeoutSeconds: 10,
      keepAliveSeconds: 30,
    },
    'postgres://h/db?connect_timeout=0&keepalives_idle=30&keepalives=0': { keepAliveSeconds: 0 },
    'postgres://h/db?target_session_attrs=read-write': { requirePrimary: true },
    'postgres://h/db?target_session_attrs=any': { requirePrimary: false },
    'postgres://h/db?options=-c%20work_mem%3D64MB&application_name=bulk': {
      options: '-c work_mem=64MB',
      applicationName: 'bulk',
    },
    'postgres://h/db?require_auth=scram-sha-256': { requireScram: true },
    'postgres://h/db?gssencmode=prefer&channel_binding=prefer&client_encoding=UTF8': { unused: [] },
  }
  for (const [url, address] of Object.entries(taken)) t.match(parseDatabaseUrl(url), address, url)
  t.end()
})

t.test('parseDatabaseUrl lists the parameters that have no effect', (t) => {
  const unused: Record<string, RegExp[]> = {
    'sslmode=require&channel_binding=require': [/^channel_binding \(/],
    'schema=public&search_path=public': [/^schema \(DB_SCHEMA/, /^search_path \(DB_SCHEMA/],
    'pgbouncer=true&connection_limit=5&pool_timeout=9': [/^pgbouncer/, /^connection_limit/, /^pool_timeout/],
    'keepalives_count=3': [/^keepalives_count/],
    'statement_timeout=5': [/^statement_timeout \(unknown\)/],
  }
  for (const [query, names] of Object.entries(unused)) {
    const found = parseDatabaseUrl(`postgres://h/db?${query}`).unused
    t.match(found, names, query)
    t.equal(found.length, names.length)
  }
  t.end()
})

t.test('parseDatabaseUrl rejects invalid URLs without showing the password', (t) => {
  const wrong = {
    'another scheme': 'mysql://u:s3cret@h/db',
    'a / in the password': 'postgres://u:s3/cret@h/db',
    'a / after digits': 'postgres://u:12/s3cret@h/db',
    'a ? after digits': 'postgres://u:12?s3cret@h/db',
    'a # in the password': 'postgres://u:s3#cret@h/db',
    'a # after digits': 'postgres://u:12#s3cret@h/db',
    'an @ in the password': 'postgres://u:s3@cret@h/db',
    'an @ and a / in the password': 'postgres://u:s3@cret/x@h/db',
    'a % in the password': 'postgres://u:s3cret%ZZ@h/db',
    'a % that is not UTF-8': 'postgres://u:s3cret%FF@h/db',
    'a % in the user': 'postgres://u%:s3cret@h/db',
    'a port that is not a number': 'postgres://u:s3cret@h:abc/db',
    'a port above 65535': 'postgres://u:s3cret@h:65536/db',
    'several hosts, encoded': 'postgres://u:s3cret@h1%2Ch2/db',
    'ports that do not match the hosts': 'postgres://u:s3cret@/db?host=h1,h2,h3&port=1,2',
    'a user without a host': 'postgres://u:s3cret@/db',
    'an IPv6 address without brackets': 'postgres://u:s3cret@::1/db',
    'a parameter without a value': 'postgres://u:s3cret@h/db?sslmode',
    'an unknown sslmode': 'postgres://u:s3cret@h/db?sslmode=on',
    'a standby': 'postgres://u:s3cret@h/db?target_session_attrs=standby',
    'GSSAPI encryption': 'postgres://u:s3cret@h/db?gssencmode=require',
  }
  for (const [what, url] of Object.entries(wrong)) {
    t.throws(() => parseDatabaseUrl(url), { message: /^(expects postgres:.*percent-encoded|parameter \w+ )/ }, what)
    try {
      parseDatabaseUrl(url)
    } catch (error) {
      t.notMatch((error as Error).message, /s3|cret/, what)
    }
  }
  t.end()
})

t.test('describeAddress shows the server and the database without the login', (t) => {
  const shown = {
    'postgres://u:p@h1,[::1]:6432/db': 'h1:5432,[::1]:6432/db',
    'postgres://u:p@/db?host=/var/run/postgresql': '/var/run/postgresql/db',
    'postgres:///db': 'the default host/db',
  }
  for (const [url, text] of Object.entries(shown)) t.equal(describeAddress(parseDatabaseUrl(url)), text)
  t.end()
})
