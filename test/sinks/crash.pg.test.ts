import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { call as callUrl } from './call.ts'
import { type System, sinkRoutes, startSystem } from './sink.ts'
import { DJANGO } from './systems.ts'

const t = suite()

/*
 * The service is killed in the middle of runs. In the end the target has exactly the users of the state, none twice, none left over.
 * These tests fail if the record is written after the target's commit only, or if it is believed without asking the target.
 */

const KILLS = Number(process.env['KILLS']) || sized(2, 8)
const USERS = sized(800, 3_000)

const countOf = async (system: System) =>
  (await system.sql<{ count: number }[]>`select count(*)::int as count from auth_user`)[0]?.count ?? 0

/** Waits until the run has changed something in the target, then a random moment. */
async function untilMoving(system: System): Promise<void> {
  const before = await digest(system)
  for (let i = 0; i < 400 && (await digest(system)) === before; i++) await sleep(3)
  await sleep(Math.random() * 60)
}

const digest = async (system: System) =>
  (await system.sql`select md5(string_agg(id || username || email, ',' order by id)) as digest from auth_user`)[0]?.[
    'digest'
  ]

t.test('after kill -9 in the middle of runs, the target has exactly the users of the state', async (t) => {
  const url = await testDatabase()
  const system = await startSystem(t, DJANGO)
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const own = await countOf(system)
  const settings = { DATABASE_URL: url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '1', LOG_LEVEL: 'info' }
  let killed = await startServerProcess(t, settings)
  let server: { url: string } = killed
  const routes = () => sinkRoutes({ call: callUrl(server.url) })
  t.match(await routes().create({ name: 's', url: system.url, preset: 'django', limits: { batch: 40 } }), {
    status: 201,
  })
  await routes().batch(USERS)
  for (let kill = 0; kill < KILLS; kill++) {
    if (kill > 0) await change(kill)
    await callUrl(server.url)('POST', '/v1/sync', { body: { target: 's', full: kill % 3 === 2 } })
    await untilMoving(system)
    t.equal(await killed.end('SIGKILL'), 'SIGKILL')
    await sql`update sync_runs set lease_until = '-infinity' where status = 'running'` // 30 s later, otherwise
    if (kill + 1 < KILLS) server = killed = await startServerProcess(t, settings)
    else server = await startService(t, settings)
  }
  await routes().sync('s')
  await compare(t)
  t.match(await routes().clear('s'), { status: 'succeeded' })
  t.equal(await countOf(system), own, 'clear leaves what was there before')

  async function change(round: number): Promise<void> {
    await sql`update users set email = ${`r${round}`} || email where username like ${`u%${round}@%`}`
    await sql`delete from users where username like ${`u%${round}7@%`}`
    await routes().batch(50)
  }

  async function compare(t: Test): Promise<void> {
    const wanted = await sql`select username, email from users order by username`
    const found = await system.sql`select username, email from auth_user where password <> 'own' order by username`
    t.strictSame([...found], [...wanted])
    t.match(await routes().status('s'), { in_step: true })
    t.strictSame([...(await sql`select from sink_users where is_due or external is null`)], [])
    t.strictSame([...(await sql`select from sink_announcements`)], [])
  }
})
