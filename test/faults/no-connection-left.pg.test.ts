import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { sqlState } from '../../src/database/sqlstate.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilReady } from './client.ts'
import { checkExact } from './exact.ts'
import { startOwnPostgres } from './own-postgres.ts'
import { refusedStart } from './refused-start.ts'

const t = suite()

/* Other clients use all connections of PostgreSQL. */

t.setTimeout(120_000)

const pg = await startOwnPostgres(t, { settings: { max_connections: '30' } })
const settings = {
  ...{ DATABASE_URL: pg.url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2' },
  ...{ DATABASE_CONNECTIONS: '8', WAIT_SECONDS: '1' },
}

/** Opens all remaining connections. Returns their number, and a function that closes them. */
async function takeAll(): Promise<{ taken: number; release: () => Promise<unknown> }> {
  const others: Sql[] = []
  for (;;) {
    const other = connect({ url: pg.url, schema: 'public', connections: 1, name: 'other' })
    others.push(other)
    try {
      await other`select 1`
    } catch (error) {
      if (sqlState(error) !== '53300') throw error
      const release = () => Promise.all(others.map((each) => each.end({ timeout: 0 })))
      return { taken: others.length - 1, release }
    }
  }
}

t.test('a start without a free connection fails immediately with a clear message', async (t) => {
  const { release } = await takeAll()
  const { code, output } = await refusedStart(settings)
  t.equal(code, 1)
  t.match(output, /usersync cannot start: Error: PostgreSQL has no free connection.*max_connections/)
  await release()
})

t.test('without a free connection requests get 503 in time, and the service recovers', async (t) => {
  const service = await startService(t, settings)
  await untilReady(service.url)
  const { release } = await takeAll()
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(service.url, '/v1/users?limit=1')))
  for (const { status, json, ms } of answers) {
    t.ok(status === 200 || (status === 503 && json.code === 'database_unavailable'), `${status} ${json.code ?? ''}`)
    t.ok(ms < 6_500, `after ${Math.round(ms)} ms`)
  }
  t.ok(
    answers.some(({ status }) => status === 200),
    'requests on existing connections succeed',
  )
  await release()

  // Now the service's own connections are terminated too, and others take their places, until none is free and it has
  // none. This takes a while: a terminated backend disappears before its place is free.
  const killer = connect({ url: pg.url, schema: 'public', connections: 1, name: 'killer' })
  await killer`select 1` // while a place is free
  const places: (() => Promise<unknown>)[] = []
  for (let quiet = 0; quiet < 4; await sleep(100)) {
    const { taken, release } = await takeAll()
    places.push(release)
    const killed = await killer`
      select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'usersync%'`
    quiet = taken + killed.length > 0 ? 0 : quiet + 1
  }
  for (const path of ['/v1/users', '/v1/users/export', '/v1/batches']) {
    const { status, json, retryAfter, ms } = await ask(service.url, path)
    t.match({ status, code: json.code, retryAfter }, { status: 503, code: 'database_unavailable', retryAfter: /^\d+$/ })
    t.ok(ms < 6_500, `after ${Math.round(ms)} ms`)
  }
  t.equal((await ask(service.url, '/livez')).status, 200)
  t.equal((await ask(service.url, '/readyz')).status, 503)
  await Promise.all([...places.map((give) => give()), killer.end({ timeout: 0 })])
  await untilReady(service.url)
  const id = await beginBatch(service.url, 5_000)
  await checkExact(t, pg.url, await untilEnded(service.url, id), 5_000)
})
