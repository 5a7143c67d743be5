import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { deleteBatch } from '../../src/batches/end-batch.ts'
import { distributedFormFaults } from '../../src/database/citus/distributed-form.ts'
import { connect } from '../../src/database/connection.ts'
import { migrate, requireMigrated } from '../../src/database/migrate.ts'
import { requireProtection } from '../../src/database/protection.ts'
import { sqlState } from '../../src/database/sqlstate.ts'
import { runJob } from '../../src/jobs/run-job.ts'
import { testHistories } from '../export/state-histories.ts'
import { startService } from '../http/service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { runEveryStatement } from '../statements/every-statement.ts'
import { fillPool } from '../statements/fill-pool.ts'
import { suite } from '../suite.ts'
import { citusDatabase } from './citus-database.ts'

const t = suite()

/* A deployment on a real Citus cluster. TEST_CITUS_URL is the URL of a superuser and a database of its coordinator. */

const base = process.env['TEST_CITUS_URL'] ?? ''
const SCHEMA = 'usersync'

if (base === '') t.test('on Citus', { skip: 'there is no Citus: set TEST_CITUS_URL (docs/citus.md)' }, () => {})
else await testOnCitus(base)

async function testOnCitus(base: string): Promise<void> {
  const { url, adminUrl, setRole } = await citusDatabase(t, base)
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const open = (name: 'service' | 'plain') => {
    const settings = { 'citus.enable_unsafe_triggers': 'on' } // for a trigger that a test adds
    const isService = name === 'service'
    const sql = connect({ url: isService ? url : adminUrl, schema: SCHEMA, connections: 6, name, isService, settings })
    t.teardown(() => sql.end())
    return sql
  }
  const job = async (...args: string[]) => {
    let out = ''
    const stdout = { write: (text: string) => (out += text) }
    const env = { DATABASE_URL: url, DATA_DIR: dataDir, ENCRYPTION_KEY: 'e1'.repeat(32), MAX_WORKERS: '1' }
    const code = await runJob(args, { env, stdout, stderr: process.stderr, stop: new AbortController().signal })
    return { code, ...JSON.parse(out) }
  }

  await t.test('distribute says what is missing, and then moves a schema with its users and states', async (t) => {
    t.match(await job('create', '--count', '200'), { code: 0 })
    const refused = await job('distribute')
    t.match(refused, { code: 1, failure: /usersync\.service is not 'on' at .* run alter role .* lock_timeout/ })
    await setRole({ 'usersync.service': 'on', lock_timeout: '5s' })
    t.match(await job('distribute'), { code: 0, run: refused.run, result: { schema: SCHEMA, is_moved: true } })
    t.match(await job('distribute', '--date', '2026-01-31'), { code: 0, result: { is_moved: false } })
    t.match(await job('verify-states'), { code: 0, result: { pools: [{ user_count: 200 }] } })
  })

  const service = open('service')
  const plain = open('plain')

  await t.test('users that are not test users are protected, and a start is refused where they are not', async (t) => {
    await plain`insert into users (username, email, is_test_user) values ('real', 'real@example.com', false)`
    t.equal(sqlState(await service`delete from users where username = 'real'`.catch((error) => error)), 'US001')
    await requireProtection(url, SCHEMA)
    await setRole({ 'usersync.service': undefined })
    await t.rejects(requireProtection(url, SCHEMA), {
      message:
        /changes or deletes one\. As a superuser, run alter role \S+ in database \S+ set usersync\.service = 'on'$/,
    })
    await setRole({ 'usersync.service': 'on' })
    t.equal((await plain`delete from users where username = 'real'`).count, 1)
  })

  await t.test('a migration that brings the form for PostgreSQL gets the other one in its transaction', async (t) => {
    const migration = await readFile(new URL('../../migrations/0002_state_capture.sql', import.meta.url), 'utf8')
    const [statement = ''] =
      /create function capture_insert.*?\$\$;/s.exec(migration.replace(/.*?(?=create function capture_insert)/s, '')) ??
      []
    const owner = connect({ url, schema: SCHEMA, connections: 1, name: 'test' })
    t.teardown(() => owner.end())
    await owner.unsafe(statement.replace('create function', 'create or replace function'))
    t.strictSame(await distributedFormFaults(owner), ['capture_insert()'])
    await t.rejects(
      requireMigrated(url, SCHEMA),
      /capture_insert\(\) have the form for PostgreSQL: .* SCHEMA_MODE=always/,
    )
    await migrate(url, SCHEMA)
    t.strictSame(await distributedFormFaults(owner), [])
  })

  await t.test('a wait for a lock on a worker ends', async (t) => {
    const [batch] = await plain<{ id: string }[]>`select batch_id as id from users limit 1`
    const other = await openTransaction(t, plain)
    await other`select from users where batch_id = ${batch?.id ?? null} for update`
    const blocked = deleteBatch(service, 1, batch?.id ?? '', { userWaitMs: 200 })
    t.equal(sqlState(await blocked.catch((error) => error)), '55P03')
    await other.rollback()
  })

  await t.test('random histories of writers', (t) => testHistories(t, plain, sized(5, 60)))

  await t.test('every statement of the service runs', { timeout: 300_000 }, (t) => runStatements(t))

  async function runStatements(t: Test): Promise<void> {
    const poolId = await fillPool(plain, 'later', 4_500)
    const running = await startService(t, { DATABASE_URL: url, EXPORT_CACHE_MB: '0' })
    const step = async <Result>(name: string, _size: number, work: () => Promise<Result>) => {
      const result = await work()
      t.pass(name)
      return result
    }
    await runEveryStatement(t, { service: running, sql: plain, direct: service, url, poolId, step })
    t.strictSame(
      running.log.filter((line) => line.includes('"sqlstate":"0A000"')),
      [],
      'Citus refused nothing',
    )
    t.match(await job('verify-states', '--date', '2026-01-31'), { code: 0 })
  }
}
