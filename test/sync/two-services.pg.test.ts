import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import type { Comparison } from '../../src/sync/verify.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()
/** For what starts inside a test and is used by later ones. */
const file = t

/* Two services on two databases. One pushes; the other is a process that is killed during a push. */

const USERS = sized(4_000, 20_000)
const { call, url } = await startService(t)
const DATABASE_URL = await testDatabase()
const ENCRYPTION_KEY = 'c3'.repeat(32)
const receiver = await startServerProcess(t, { DATABASE_URL, ENCRYPTION_KEY, MAX_WORKERS: '1' })
const replica = connect({ url: DATABASE_URL, schema: 'usersync', connections: 2, name: 'test' })
t.teardown(() => replica.end())

const config = { password_hash: { algorithm: 'none' }, custom_attributes: { plan: 'gold', n: 1.5 } }

async function make(count: number): Promise<string> {
  const headers = { prefer: 'wait=60' }
  const { status, json } = await call<{ id: string }>('POST', '/v1/batches', { body: { count, config }, headers })
  if (status !== 201) throw new Error(`no batch was created: ${status}`)
  return json.id
}

async function push(): Promise<SyncRun> {
  const { headers } = await call('POST', '/v1/sync', { body: { target: 'tester' } })
  return await finished(String(headers.location))
}

async function finished(location: string): Promise<SyncRun> {
  for (const deadline = Date.now() + 90_000; Date.now() < deadline; await sleep(50)) {
    const { json } = await call<SyncRun>('GET', location)
    if (json.finished_at !== null) return json
  }
  throw new Error('the run did not end')
}

const verify = async () =>
  (await call<Comparison & { in_step: boolean }>('POST', '/v1/sync/verify', { body: { target: 'tester' } })).json

const exported = async (url: string) => {
  const answer = await fetch(`${url}/v1/users/export?format=ndjson&differential=false`)
  return await answer.text()
}

t.test('after pushes and a kill, both services have the same users and state', async (t) => {
  await call('POST', '/v1/targets', { body: { name: 'tester', url: receiver.url } })
  const first = await make(500)
  t.match(await push(), { status: 'succeeded', added_count: 500 })
  await make(300)
  t.match(await push(), { status: 'succeeded', kind: 'delta', added_count: 300 })
  t.match((await call('DELETE', `/v1/batches/${first}`)).json, { deleted_count: 500 })
  t.match(await push(), { status: 'succeeded', kind: 'delta', deleted_count: 500 })

  await make(USERS)
  const before = await exported(receiver.url)
  const { headers } = await call('POST', '/v1/sync', { body: { target: 'tester' } })
  const isApplying = async () =>
    (await replica`select from pg_stat_activity where query like '%staged_users%' and pid <> pg_backend_pid()`).length >
    0
  for (const deadline = Date.now() + 20_000; Date.now() < deadline && !(await isApplying()); ) await sleep(5)
  await receiver.end('SIGKILL')
  const again = await startServerProcess(file, {
    DATABASE_URL,
    ENCRYPTION_KEY,
    MAX_WORKERS: '1',
    PORT: new URL(receiver.url).port,
  })
  const state = await exported(again.url)
  const run = await finished(String(headers.location))
  t.ok(state === before || run.status === 'succeeded', 'the state after the restart was that before')
  if (run.status === 'failed') t.match(await push(), { status: 'succeeded' })
  t.ok(run.attempts > 1, `the killed attempt was one of ${run.attempts}`)

  const compared = await verify()
  t.match(compared, { in_step: true, missing: { count: 0 }, extra: { count: 0 }, changed: { count: 0 } })
  t.equal(compared.local.total_count, USERS + 300)
  t.match((await call('GET', '/v1/sync/status')).json, { items: [{ in_step: true, remote_failure: null }] })
})

t.test('verify lists differences, and the next push repairs them', async (t) => {
  const [changed, gone] = await replica<{ id: string }[]>`select id from users order by id limit 2`
  await replica`update users set role = 'root' where id = ${changed?.id ?? ''}`
  await replica`delete from users where id = ${gone?.id ?? ''}`
  await replica`insert into users (username, email) values ('intruder', 'intruder@example.com')`
  const compared = await verify()
  t.match(compared, {
    in_step: false,
    changed: { count: 1, ids: [changed?.id] },
    missing: { count: 1, ids: [gone?.id] },
    extra: { count: 1 },
  })
  t.match((await call('GET', '/v1/sync/status')).json, { items: [{ in_step: false }] })
  t.match(await push(), { status: 'succeeded', kind: 'full', added_count: 1, updated_count: 1, deleted_count: 1 })
  t.match(await verify(), { in_step: true })
})

t.test('a replica rejects other writes, and a push to a pool that is not a replica fails', async (t) => {
  const body = JSON.stringify({ count: 1 })
  const refused = await fetch(`${receiver.url}/v1/batches`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  t.match(await refused.json(), { status: 409, code: 'pool_is_replica' })
  await call('POST', '/v1/pools', { body: { name: 'other' } })
  const headers = { prefer: 'wait=30' }
  t.match(await call('POST', '/v1/batches', { body: { pool: 'other', count: 1 }, headers }), { status: 201 })
  await call('POST', '/v1/targets', { body: { name: 'primary', url, remote_pool: 'other' } })
  const begun = await call('POST', '/v1/sync', { body: { target: 'primary' } })
  t.match(await finished(String(begun.headers.location)), {
    status: 'failed',
    failure: 'refused',
    detail: /pool_not_replica/,
    attempts: 1,
  })
  t.match(await call('POST', '/v1/sync/verify', { body: { target: 'primary' } }), {
    status: 502,
    json: { code: 'target_failed' },
  })
})
