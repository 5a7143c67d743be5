import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { readConfig } from '../../src/config/config.ts'
import { prepareDatabase } from '../../src/database/prepare.ts'
import { openStandbys } from '../../src/standbys/standbys.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { createClient, serversOf, untilFailed, untilStatus } from './client.ts'
import { pairDatabase } from './replicated.ts'

const t = suite()

/*
 * Exports from a real streaming standby: one that is killed, whose replay is paused, and that shows a commit before the primary does.
 */

const { standby, urls, sql, there } = await pairDatabase(t)
const PACE = { waitMs: 50, pollMs: 5, checkMs: 20, retryMs: 20 }
const settings = { DATABASE_URL: urls.primary, READ_DATABASE_URL: urls.standby }
/** Gives a standby up at once. */
const brisk = await startService(t, settings, { standbys: PACE })
/** Waits for a standby, however slow this machine is. It has two names for the one standby. */
const patient = await startService(
  t,
  { ...settings, READ_DATABASE_URL: `${urls.standby}, ${urls.standby}` },
  { standbys: { ...PACE, waitMs: 60_000 } },
)

const made = await brisk.call('POST', '/v1/batches', {
  body: { count: 50, config: { password_hash: { algorithm: 'none' } } },
  headers: { prefer: 'wait=60' },
})
t.equal(made.status, 201)

let changes = 0
/** Commits a change of one user. */
const change = async () => {
  await sql`update users set role = ${`change ${++changes}`} where id = (select id from users order by id limit 1)`
}
const stateOf = async () => (await brisk.call<{ state: string }>('GET', '/v1/states/current')).json.state

const EXPORTS = [
  'format=json&differential=false',
  'format=ndjson',
  'format=csv&shard=1/3',
  'format=ndjson&include=password',
  'format=cognito',
]

/** The digests of all kinds of exports, without the time in them. */
async function digests(): Promise<string[]> {
  const texts = []
  for (const query of EXPORTS) {
    const { status, raw } = await patient.call('GET', `/v1/users/export?${query}`)
    const text = raw.toString().replace(/"export_timestamp":"[^"]*"/, '')
    texts.push(`${query}: ${status}, ${text.length} characters, ${hash('sha256', text)}`)
  }
  return texts
}

t.test('exports of every form are read from a standby, and are those of the primary', async (t) => {
  let fromStandby: string[] = []
  const servers = await serversOf(patient, async () => {
    fromStandby = await digests()
  })
  t.match(servers, { primary: 0 })
  t.ok(servers.standby >= EXPORTS.length, `${servers.standby} snapshots`)
  await standby.kill()
  const others = await serversOf(patient, async () => {
    t.strictSame(await digests(), fromStandby, 'a standby that was killed fails no request')
  })
  t.match(others, { standby: 0 })
  t.equal(await untilStatus(patient, 'unavailable'), 'unavailable')
  const { status, json } = await patient.call<object>('GET', '/readyz')
  t.strictSame(
    { status, json },
    { status: 200, json: { status: 'ready', reasons: [] } },
    'readiness says nothing of it',
  )
  await standby.start()
  t.equal(await untilStatus(patient, 'ready'), 'ready')
  t.match(await serversOf(patient, digests), { primary: 0 }, 'a standby that is back is used again')
})

t.test('while replay is paused, a client gets what the primary has, and never goes back', async (t) => {
  const behind = createClient(brisk)
  await behind.follow()
  await there`select pg_wal_replay_pause()`
  await change()
  const ahead = createClient(brisk)
  t.match(await serversOf(brisk, ahead.follow), { standby: 0, primary: 1 })
  t.equal(ahead.held().state, await stateOf(), 'a new client gets the new state')
  t.equal(await ahead.follow(), undefined, 'and 304 after that')
  await change()
  t.match(await ahead.follow(), { kind: 'delta', counts: { updated: 1 } }, 'a state that the standby lacks is known')
  t.match(await behind.follow(), { kind: 'delta', counts: { updated: 1 } }, 'the state of the standby is no 304')
  t.equal(behind.held().state, await stateOf())
  t.ok(await untilFailed(brisk, 'behind', () => createClient(brisk).follow()))
  await there`select pg_wal_replay_resume()`
})

t.test('an export waits for a standby whose replay is resumed in time', async (t) => {
  const client = createClient(patient)
  await client.follow()
  await there`select pg_wal_replay_pause()`
  await change()
  const servers = await serversOf(patient, async () => {
    const following = client.follow()
    await sleep(30)
    await there`select pg_wal_replay_resume()`
    t.match(await following, { kind: 'delta', counts: { updated: 1 } })
  })
  t.strictSame(servers, { standby: 1, primary: 0 })
  t.equal(client.held().state, await stateOf())
})

t.test('a pool that the standby does not have yet is read from the primary', async (t) => {
  await there`select pg_wal_replay_pause()`
  await brisk.call('POST', '/v1/pools', { body: { name: 'new' } })
  t.match(await serversOf(brisk, createClient(brisk, '&pool=new').follow), { standby: 0, primary: 1 })
  await there`select pg_wal_replay_resume()`
})

/** The newest change that a server shows. */
async function newest(server: typeof sql): Promise<string | undefined> {
  const [row] = await server<{ role: string }[]>`select role from users order by id limit 1`
  return row?.role
}

t.test('a commit that the standby shows before the primary does is not served', async (t) => {
  const changing = await changeUnconfirmed()
  const client = createClient(brisk)
  await client.follow()
  const before = await stateOf()
  for (let i = 0; i < 3_000 && (await newest(there)) !== `change ${changes}`; i++) await sleep(10)
  t.equal(await newest(there), `change ${changes}`)
  t.not(await newest(sql), `change ${changes}`)
  t.ok(await untilFailed(brisk, 'ahead', () => createClient(brisk).follow()))
  const fresh = createClient(brisk)
  await fresh.follow()
  t.equal(fresh.held().state, before)
  t.equal(await client.follow(), undefined)
  await sql`alter system reset synchronous_standby_names`
  await sql`select pg_reload_conf()`
  await changing.ended
  t.match(await fresh.follow(), { kind: 'delta', counts: { updated: 1 } })
})

/** Begins a change whose commit waits for a synchronous standby that does not exist. */
async function changeUnconfirmed(): Promise<{ ended: Promise<void> }> {
  await sql`alter system set synchronous_standby_names = 'nobody'`
  await sql`select pg_reload_conf()`
  for (;;) {
    let isOver = false // the server has not reloaded its configuration yet
    const ended = change().finally(() => {
      isOver = true
    })
    while (!isOver) {
      const [waiting] = await sql`select from pg_stat_activity where wait_event = 'SyncRep'`
      if (waiting) return { ended }
      await sleep(5)
    }
  }
}

t.test('a start against a standby says what to do', async (t) => {
  const config = readConfig({ DATABASE_URL: urls.standby, DATA_DIR: t.testdir() })
  await t.rejects(prepareDatabase(config), {
    message: /^PostgreSQL at [^ ]+ is a standby, which takes no writes: give DATABASE_URL the address of the primary/,
  })
})

t.test('a standby that allows too few connections stops the start, and one that is away does not', async (t) => {
  const start = (url: string, snapshots: number) =>
    openStandbys({
      ...{ sql, urls: [url], schema: 'usersync', snapshots, silenceMs: undefined, log: pino({ enabled: false }) },
      observer: { snapshotOpened() {}, standbyFailed() {} },
    })
  await t.rejects(start(urls.standby, 1_000), {
    message:
      /^standby 1 of READ_DATABASE_URL: the service may open 1001 database connections \(EXPORT_CONCURRENCY \+ 1\)/,
  })
  const away = await start('postgres://usersync@127.0.0.1:1/x', 4)
  t.strictSame(away.status(), [{ standby: 1, status: 'unavailable' }])
  const request = { pool: 'default', filter: { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false } }
  t.equal(await away.openSnapshot(request), undefined, 'nobody waits for it')
  await away.close()
})
