import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { testDatabase } from '../database.ts'
import { startServerProcess } from '../server-process.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import { call as callUrl } from './call.ts'
import { sinkRoutes, sinkService } from './sink.ts'
import { HASHES, LOGIN, NO_SLAPD, type Slapd, startSlapd } from './slapd.ts'

const t = suite()

/*
 * The service or the directory is killed in the middle of runs. In the end the directory has exactly the users of the state, none
 * twice, none left over. These tests fail if users are not recorded as unsure before they are sent, or not looked up afterwards.
 */

const KILLS = Number(process.env['KILLS']) || sized(1, 6)
const USERS = sized(250, 1_200)
t.setTimeout(120_000 + KILLS * 30_000)

const usersIn = async (slapd: Slapd) =>
  (await slapd.entries())
    .filter(({ employeeNumber }) => String(employeeNumber).length === 36)
    .map(({ uid, mail, employeeNumber }) => ({ id: String(employeeNumber), username: uid, email: mail }))
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))

/** Waits until requests of a run are under way, then a random moment. */
async function untilMoving(sql: Sql): Promise<void> {
  const isMoving = async () => {
    const { count: moving } = await sql`select from sink_announcements limit 1`
    const { count: open } = await sql`select from sync_runs where finished_at is null limit 1`
    return moving > 0 || open === 0
  }
  while (!(await isMoving())) await sleep(2)
  await sleep(Math.random() * 100)
}

// The small size kills the service while it sends to a SCIM server: scim-crash.pg.test.ts.
if (isFull)
  t.test(
    'after kill -9 of the service, the directory has exactly the users of the state',
    { skip: NO_SLAPD },
    async (t) => {
      const url = await testDatabase()
      const slapd = await startSlapd(t)
      const before = await slapd.entries()
      const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
      t.teardown(() => sql.end({ timeout: 5 }))
      const start = () =>
        startServerProcess(t, {
          DATABASE_URL: url,
          ENCRYPTION_KEY: '5e'.repeat(32),
          MAX_WORKERS: '1',
          LOG_LEVEL: 'info',
        })
      let server = await start()
      const routes = () => sinkRoutes({ call: callUrl(server.url) })
      t.match(await routes().create({ ...LOGIN, name: 's', url: slapd.url, limits: { batch: 20 } }), { status: 201 })
      await routes().batch(USERS, HASHES)
      for (let kill = 0; kill < KILLS; kill++) {
        if (kill > 0) await change(kill)
        await callUrl(server.url)('POST', '/v1/sync', { body: { target: 's', full: kill % 3 === 2 } })
        await untilMoving(sql)
        t.equal(await server.end('SIGKILL'), 'SIGKILL')
        await sql`update sync_runs set lease_until = '-infinity' where status = 'running'` // 30 s later, otherwise
        server = await start()
      }
      t.match(await routes().sync('s'), { failure: null })
      t.strictSame(await usersIn(slapd), [...(await sql`select id, username, email from users order by id`)])
      t.match(await routes().status('s'), { in_step: true })
      t.strictSame([...(await sql`select from sink_users where is_due or external is null`)], [])
      t.strictSame([...(await sql`select from sink_announcements`)], [])
      t.match(await routes().clear('s'), { status: 'succeeded' })
      t.strictSame(await slapd.entries(), before, 'clear leaves what was there before')

      async function change(round: number): Promise<void> {
        await sql`update users set username = ${`r${round}`} || username where username like ${`%u${round}@%`}`
        await sql`update users set email = ${`r${round}`} || email where username like ${`%u${round}_@%`}`
        await sql`delete from users where username like ${`%u${round}7_@%`}`
        await routes().batch(50, HASHES)
      }
    },
  )

t.test('with a directory that is killed, restarted and stopped in the middle', { skip: NO_SLAPD }, async (t) => {
  const { sql, call } = await sinkService(t)
  const { create, batch, sync, status, ended } = sinkRoutes({ call })
  const slapd = await startSlapd(t)
  await create({ ...LOGIN, name: 's', url: slapd.url, limits: { batch: 20 } })
  await batch(USERS, HASHES)
  const begin = async () => {
    const running = ended(await call<SyncRun>('POST', '/v1/sync', { body: { target: 's' } }))
    await untilMoving(sql)
    return running
  }

  await slapd.signal('SIGKILL')
  t.match(await sync('s'), { status: 'failed', failure: 'unreachable', detail: /ECONNREFUSED/, attempts: 4 })
  await slapd.start()
  for (let kill = 0; kill < KILLS; kill++) {
    const running = await Promise.all([begin()])
    await slapd.signal('SIGKILL')
    await slapd.start()
    await Promise.all(running)
    await sql`update users set username = ${`r${kill}`} || username where username like ${`%u${kill}_@%`}`
  }
  const slow = await Promise.all([begin()])
  await slapd.signal('SIGSTOP')
  await sleep(300)
  await slapd.signal('SIGCONT')
  await Promise.all(slow)
  t.match(await sync('s'), { status: 'succeeded', failure: null })
  t.strictSame(await usersIn(slapd), [...(await sql`select id, username, email from users order by id`)])
  t.match(await status('s'), { in_step: true })
})
