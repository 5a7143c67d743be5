import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { call as callUrl } from './call.ts'
import { startScim, TOKEN } from './scim-server.ts'
import { sinkRoutes } from './sink.ts'
import { startUnreliable } from './unreliable.ts'

const t = suite()

/*
 * The service is killed in the middle of runs, while its requests are on their way to a SCIM server. In the end the server has exactly
 * the users of the state, none twice, none left over.
 */

/** With bulk requests, and as many without; the small size has bulk requests only, each of which leaves more users unsure. */
const KILLS = Number(process.env['KILLS']) || sized(1, 4)
const USERS = sized(200, 600)
t.setTimeout(240_000 + KILLS * 60_000)

for (const BULK of sized(['25'], ['25', '0'])) {
  const name = BULK === '0' ? 'without bulk requests' : 'with bulk requests'
  t.test(`after kill -9 in the middle of runs, the server has exactly the users of the state (${name})`, async (t) => {
    const database = await testDatabase()
    const scim = await startScim(t, { BULK })
    const proxy = await startUnreliable(t, scim.url)
    const before = scim.users()
    const sql = connect({ url: database, schema: 'usersync', connections: 2, name: 'test' })
    t.teardown(() => sql.end({ timeout: 5 }))
    const start = () =>
      startServerProcess(t, { DATABASE_URL: database, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '1' })
    let service = await start()
    const routes = () => sinkRoutes({ call: callUrl(service.url) })
    await routes().create({
      name: 's',
      kind: 'scim',
      url: proxy.url,
      key: TOKEN,
      preset: 'user',
      limits: { batch: 50 },
    })
    await routes().batch(USERS)
    for (let kill = 0; kill < KILLS; kill++) {
      if (kill > 0) await change(kill)
      const writes = countWrites()
      await callUrl(service.url)('POST', '/v1/sync', { body: { target: 's', full: kill % 3 === 2 } })
      for (let i = 0; i < 1_000 && countWrites() === writes; i++) await sleep(3)
      await sleep(Math.random() * 80)
      t.ok(countWrites() > writes, 'the run is in its middle')
      t.equal(await service.end('SIGKILL'), 'SIGKILL')
      await sql`update sync_runs set lease_until = '-infinity' where status = 'running'` // 30 s later, otherwise
      service = await start()
    }
    t.match(await routes().sync('s'), { failure: null })
    const wanted = await sql`select id as external_id, username, email, role from users order by username collate "C"`
    t.strictSame(scim.ours(), [...wanted])
    t.match(await routes().status('s'), { in_step: true })
    t.strictSame([...(await sql`select from sink_users where is_due or external is null`)], [])
    t.match(await routes().clear('s'), { status: 'succeeded' })
    t.strictSame(scim.users(), before, 'clear leaves what was there before')

    async function change(round: number): Promise<void> {
      await sql`update users set email = ${`r${round}`} || email where username like ${`u%${round % 10}@%`}`
      await sql`delete from users where username like ${`u%${round % 10}7@%`}`
      await routes().batch(50)
    }

    function countWrites(): number {
      return proxy.requests.filter(({ method }) => method !== 'GET').length
    }
  })
}
