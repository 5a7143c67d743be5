import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { ANY_BATCH } from '../../src/states/filter.ts'
import { startService } from '../http/service.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import { createClient, serversOf } from './client.ts'
import { configure, pairDatabase } from './replicated.ts'

const t = suite()

/*
 * Writers, clients that export all the time, and a standby whose replay is paused and resumed at random. The versions at the primary
 * are the judge: each state that a client receives must be one that the primary had, and none may be older than the newest when its
 * request began.
 */

const USERS = sized(300, 600)
const CLIENTS = sized(10, 200)
const WRITERS = sized(1, 3)
const WAIT_MS = sized(3_000, 10_000)
const STORM_MS = sized(1_500, 30_000)
/** Every client follows one of these. */
const FILTERS = ['', '&test_users_only=false', '&bulk_users_only=true']

const { urls, sql, there } = await pairDatabase(t)
await configure(t, there, 'hot_standby_feedback', 'on')
const settings = { MAX_WORKERS: '1', EXPORT_CACHE_MB: '0', WAIT_SECONDS: '60', EXPORT_CONCURRENCY: '12' }
const service = await startService(
  t,
  { ...settings, DATABASE_URL: urls.primary, READ_DATABASE_URL: urls.standby },
  // An export waits longer than in operation, so that the speed of this machine does not decide which server it reads.
  { standbys: { waitMs: WAIT_MS, pollMs: 10, checkMs: 100, retryMs: 1_000 } },
)
const body = { count: USERS, config: { password_hash: { algorithm: 'none' } } }
await service.call('POST', '/v1/batches', { body, headers: { prefer: 'wait=60' } })
const ids = (await sql<{ id: string }[]>`select id from users`).map(({ id }) => id)

const flagsOf = (query: string) => [!query.includes('test_users_only=false'), query.includes('bulk_users_only=true')]

/** The version of each state that the primary has had. */
async function versionsOf(query: string): Promise<Map<string, number>> {
  const [test = true, bulk = false] = flagsOf(query)
  const rows = await sql<{ state: string; version: number }[]>`
    select state, version::float8 as version from states
    where batch_id = ${ANY_BATCH} and test_users_only = ${test} and bulk_users_only = ${bulk}`
  return new Map(rows.map(({ state, version }) => [state, version]))
}

async function newestVersion(query: string): Promise<number> {
  const [test = true, bulk = false] = flagsOf(query)
  const [row] = await sql<{ version: number }[]>`
    select version::float8 as version from scopes
    where batch_id = ${ANY_BATCH} and test_users_only = ${test} and bulk_users_only = ${bulk}`
  return row?.version ?? 0
}

/** Rows of users that a server has read since it started. */
async function rowsRead(server: Sql): Promise<number> {
  await server`select pg_stat_clear_snapshot()`
  const [row] = await server<{ rows: number }[]>`
    select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::float8 as rows from pg_stat_user_tables
    where relname = 'users' and schemaname = 'usersync'`
  return row?.rows ?? 0
}

/** Rows of users that the writers have read. */
let readByWriters = 0
let isOver = false

/** Commits changes of some users, again and again. */
async function write(): Promise<void> {
  const writer = await sql.reserve()
  const anyId = () => ids[Math.floor(Math.random() * ids.length)] ?? ''
  for (let n = 0; !isOver; n++) {
    await writer`begin`
    if (n % 5 === 4) await writer`delete from users where id = ${anyId()}`
    else if (n % 5 === 3)
      await writer`
      insert into users (username, email, created_by_bulk) values (gen_random_uuid(), gen_random_uuid() || '@example.com', ${n % 2 === 0})`
    else await writer`update users set role = gen_random_uuid() where id = any(${[anyId(), anyId(), anyId()]}::uuid[])`
    await writer`select pg_stat_force_next_flush()` // otherwise the next transaction counts this one's rows again
    const [own] = await writer<{ rows: number }[]>`
      select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::float8 as rows from pg_stat_xact_user_tables where relname = 'users'`
    await writer`commit`
    readByWriters += own?.rows ?? 0
    await sleep(sized(100, 1_000) * Math.random())
  }
  writer.release()
}

/** Pauses replay, mostly for less time than an export waits, and once for longer. */
async function pauseReplay(): Promise<void> {
  for (let n = 1; !isOver; n++) {
    await there`select pg_wal_replay_pause()`
    await sleep(n === 10 ? WAIT_MS + 1_500 : Math.random() < 0.9 ? 300 * Math.random() : 1_300)
    await there`select pg_wal_replay_resume()`
    await sleep(200 + 800 * Math.random())
  }
}

interface Received {
  query: string
  /** The newest version at the primary before the request. */
  newest: number
  before: string | undefined
  after: string | undefined
  kind: string
}
const received: Received[] = []
let repeated = 0

/** Repeats an export that was refused because too many wait, or cut off by replay. */
async function untilComplete<Result>(follow: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await follow()
    } catch (error) {
      if (!/ 503: .*"overloaded"|aborted/.test((error as Error).message)) throw error
      repeated++
      await sleep(200 * Math.random())
    }
  }
}

/** Follows its filter. A new client begins now and then, so that there are full exports too. */
async function follow(n: number): Promise<void> {
  const query = FILTERS[n % FILTERS.length] ?? ''
  let client = createClient(service, query)
  while (!isOver) {
    if (Math.random() < 0.05) client = createClient(service, query)
    const newest = await newestVersion(query)
    const before = client.held().state
    const head = await untilComplete(client.follow)
    received.push({ query, newest, before, after: client.held().state, kind: head?.kind ?? '304' })
    await sleep(1_000 * Math.random())
  }
}

t.test('no client goes back, gets a mixture, or a 304 for an old state', async (t) => {
  const [atPrimary, atStandby] = [await rowsRead(sql), await rowsRead(there)]
  const work = [
    pauseReplay(),
    ...Array.from({ length: WRITERS }, write),
    ...Array.from({ length: CLIENTS }, (_, n) => follow(n)),
  ]
  const servers = await serversOf(service, async () => {
    await Promise.race([sleep(STORM_MS), Promise.all(work)])
    isOver = true
    await Promise.all(work)
  })
  const versions = Object.fromEntries(await Promise.all(FILTERS.map(async (query) => [query, await versionsOf(query)])))
  const wrong = received.filter(({ query, before, after, newest }) => {
    const versionOf = (state: string | undefined) => (state === undefined ? -1 : versions[query].get(state))
    return !(versionOf(after) >= newest && versionOf(after) >= versionOf(before))
  })
  t.strictSame(wrong.slice(0, 5), [], `${received.length} responses, of states that the primary had, none older`)
  const kinds = Object.groupBy(received, ({ kind }) => kind)
  t.comment(
    JSON.stringify(servers),
    JSON.stringify(Object.fromEntries(Object.entries(kinds).map(([kind, all]) => [kind, all?.length]))),
  )
  if (isFull) for (const kind of ['304', 'delta', 'full']) t.ok(kinds[kind]?.length, kind)
  t.ok(servers.standby > 0)
  await sleep(1_200) // backends report what they have read after a second
  const primaryRows = (await rowsRead(sql)) - atPrimary - readByWriters
  const standbyRows = (await rowsRead(there)) - atStandby
  t.comment(
    `${repeated} requests were repeated; rows of users that exports read: ${primaryRows} at the primary, ${standbyRows} at the standby`,
  )
  if (isFull) t.ok(primaryRows <= (primaryRows + standbyRows) / 10, 'nine tenths of the rows are read at the standby')
})
