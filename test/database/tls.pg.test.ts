import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from '../../src/database/connection.ts'
import { findPlace } from '../../src/database/embedded/embedded-place.ts'
import { emptyDatabase } from '../database.ts'
import { startOwnPostgres } from '../faults/own-postgres.ts'
import { suite } from '../suite.ts'

const t = suite()

/* TLS to PostgreSQL with each `sslmode` and a private CA. */

const run = promisify(execFile)
const folder = await mkdtemp(join(tmpdir(), 'usersync-tls-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await chmod(folder, 0o755)
const path = (name: string) => join(folder, name)
const openssl = (...args: string[]) => run('openssl', args, { cwd: folder })
const days = ['-days', '2', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
await openssl('req', '-x509', ...days, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=our own CA')
await openssl('req', '-x509', ...days, '-keyout', 'other.key', '-out', 'other.pem', '-subj', '/CN=another CA')
await openssl(
  ...['req', '-x509', ...days, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', 'server.key', '-out', 'server.pem'],
  ...['-subj', '/CN=database', '-addext', 'subjectAltName=IP:127.0.0.1'],
)
const { account } = await findPlace(folder)
if (account) await chown(path('server.key'), account.uid, account.gid)
await chmod(path('server.key'), 0o600)

/** The server of the run has no TLS. */
const plain = await emptyDatabase()
const secure = await startOwnPostgres(t, {
  settings: { ssl: 'on', ssl_cert_file: path('server.pem'), ssl_key_file: path('server.key') },
})

/** Whether the connection is encrypted, or the error code. */
async function tryTls(url: string): Promise<unknown> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test', waitMs: 2_000 })
  try {
    const [row] = await sql<{ ssl: boolean }[]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    return row?.ssl
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  } finally {
    await sql.end({ timeout: 0 })
  }
}

t.test('each sslmode works as in libpq', async (t) => {
  const ca = `sslrootcert=${path('ca.pem')}`
  const byName = secure.url.replace('127.0.0.1', 'localhost')
  const cases: [string, unknown][] = [
    [secure.url, true],
    [`${secure.url}?sslmode=prefer`, true],
    [`${secure.url}?sslmode=require`, true],
    [`${secure.url}?sslmode=disable`, false],
    [`${secure.url}?sslmode=verify-full&${ca}`, true],
    [`${secure.url}?sslmode=verify-ca&${ca}`, true],
    [`${byName}?sslmode=verify-ca&${ca}`, true],
    [`${byName}?sslmode=require&${ca}`, true],
    [`${byName}?sslmode=verify-full&${ca}`, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [`${secure.url}?sslmode=verify-ca&sslrootcert=${path('other.pem')}`, /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/],
    [`${secure.url}?sslmode=require&sslrootcert=${path('other.pem')}`, /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/],
    [`${secure.url}?sslmode=verify-full`, /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/],
    [`${secure.url}?sslmode=require&sslnegotiation=direct`, true],
    [plain, false],
    [`${plain}?sslmode=require`, 'CONNECTION_WITHOUT_TLS'],
  ]
  for (const [url, expected] of cases) t.match(await tryTls(url), expected, url.replace(/:[^:@]*@/, '@'))
})

t.test('an unreadable certificate file is reported as such', (t) => {
  const url = `${secure.url}?sslmode=verify-full&sslrootcert=${path('none.pem')}`
  const open = () => connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.throws(open, { message: /certificate or key that DATABASE_URL names cannot be used \(ENOENT\)/ })
  t.end()
})

t.test('the next host is used if the first does not respond', async (t) => {
  const port = new URL(secure.url).port
  const url = secure.url.replace(`127.0.0.1:${port}`, `127.0.0.1:1,127.0.0.1:${port}`)
  t.equal(await tryTls(url), true)
})
