import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../http/service.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { serversOf, untilStatus } from './client.ts'
import { configure, pairDatabase } from './replicated.ts'

const t = suite()

/* The standby ends the reading of exports. */

const { urls, sql, there } = await pairDatabase(t)
/** A service that passes a standby over for an hour: each test has its own. */
const startOne = () =>
  startService(
    t,
    { DATABASE_URL: urls.primary, READ_DATABASE_URL: urls.standby },
    { standbys: { waitMs: 60_000, pollMs: 10, checkMs: 20, retryMs: 3_600_000 } },
  )
await sql`insert into pools (name) values ('small')`
/** Waits until the standby has replayed all that the primary has written, at most 30 s. */
async function untilReplayed(): Promise<void> {
  const [now] = await sql<{ lsn: string }[]>`select pg_current_wal_lsn() as lsn`
  const isReplayed = async () =>
    (await there`select where pg_last_wal_replay_lsn() >= ${now?.lsn ?? ''}::pg_lsn`).length > 0
  for (let i = 0; i < 3_000 && !(await isReplayed()); i++) await sleep(10)
}
/** 16 MB: more than the kernel buffers for a client that does not read. */
const USERS = 2_000
await sql`
  insert into users (username, email, custom_attributes)
  select 'u' || n, 'u' || n || '@example.com', jsonb_build_object('pad', repeat('x', 8000)) from generate_series(1, ${USERS}::int) n`
await sql`
  insert into users (pool_id, username, email) select id, 'ada', 'ada@example.com' from pools where name = 'small'`

t.test('a small export, or a part, whose reading fails is read from the primary', async (t) => {
  const { call } = await startOne()
  const EXPORTS = { small: 'format=ndjson&pool=small', part: 'format=cognito&pool=small' }
  const lock = await openTransaction(t, sql)
  await lock`lock table users in access exclusive mode` // blocks reads at the standby too, as soon as it is replayed
  await sql`insert into pools (name) values ('flush')` // a commit sends the log up to here; otherwise that takes 15 s
  for (;;) {
    const found = await there`select from pg_locks where relation = 'users'::regclass and mode = 'AccessExclusiveLock'`
    if (found.length > 0) break
    await sleep(10)
  }
  const answers = Object.values(EXPORTS).map((query) => call('GET', `/v1/users/export?${query}`))
  let ended = 0
  while (ended < answers.length) {
    const killed = await there`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'usersync standby' and wait_event_type = 'Lock'`
    ended += killed.length
    await sleep(10)
  }
  await lock.rollback()
  for (const [index, name] of Object.keys(EXPORTS).entries()) {
    const answer = await answers[index]
    t.equal(answer?.status, 200, name)
    if (name !== 'part') t.match(answer?.raw.toString(), /\{"end":"[^\n]*\n$/, `${name}: complete`)
  }
})

t.test('an export that replay cancels is cut off, and the next one is complete, from the primary', async (t) => {
  await configure(t, there, 'max_standby_streaming_delay', '0')
  const service = await startOne()
  const { call, url } = service
  const path = '/v1/users/export?format=ndjson&include=password'
  const request = get(url + path)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  await once(response, 'data')
  response.pause()
  await sql`update users set role = 'new'`
  // A vacuum removes rows that the export has not read yet, once no transaction at the primary can see them.
  const isReading = async () =>
    (await there`select from pg_stat_activity where application_name = 'usersync standby' and backend_xmin is not null`)
      .length > 0
  for (let i = 0; i === 0 || (i < 100 && (await isReading())); i++) {
    await sql`vacuum users`
    await untilReplayed()
  }
  const { promise, resolve } = Promise.withResolvers<unknown>()
  let last = ''
  response
    .on('error', resolve)
    .on('end', () => resolve(undefined))
    .on('data', (chunk: Buffer) => {
      last = chunk.toString().slice(-200)
    })
    .resume()
  t.match(await promise, { code: 'ECONNRESET' })
  t.notMatch(last, /\{"end":/)
  // PostgreSQL cancels a statement, or ends the session if there is none at the moment.
  t.match(await untilStatus(service, /conflict|unavailable/), /conflict|unavailable/)
  const servers = await serversOf(service, async () => {
    t.match((await call('GET', path)).raw.toString().slice(-200), new RegExp(`"lines":${USERS}}\n$`))
  })
  t.equal(servers.standby, 0)
})
