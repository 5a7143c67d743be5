import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { WHOLE_POOL } from '../../src/replica/apply-export.ts'
import { lookUpScope } from '../../src/states/scope-state.ts'
import { testDatabase } from '../database.ts'
import { stateFromScratch } from '../export/observe.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { exportOf, makeUsers, put, stateOf } from './pair.ts'

const t = suite()

/* Whichever process is killed at whichever moment, a replica has the old state or the new one. */

const KILLS = sized(1, 4)
const USERS = sized(2_000, 15_000)

t.test('a replica has the old or the new state after kill -9 during a PUT, again and again', async (t) => {
  const source = await startService(t, { MAX_WORKERS: '1' })
  await makeUsers(source.sql, USERS)
  const url = await testDatabase()
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  t.teardown(() => sql.end())
  const settings = { DATABASE_URL: url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '1', LOG_LEVEL: 'info' }
  const start = () => startServerProcess(t, settings)

  /** Retries until the PUT is accepted: the killed process may keep the pool locked for a while. */
  const putUntilAccepted = async (server: string, body: string) => {
    for (let attempt = 0; attempt < 100; attempt++) {
      const { status, json } = await put(server, body)
      if (status !== 503) return { status, json }
      await sleep(100)
    }
    return { status: 503, json: {} }
  }

  let killed = await start()
  let server: { url: string } = killed
  const began = performance.now()
  const full = await exportOf(source)
  t.equal((await putUntilAccepted(server.url, full)).status, 200)
  const longest = performance.now() - began
  for (let kill = 0; kill < KILLS; kill++) {
    const old = await stateOf(source)
    await source.sql`update users set role = ${`role ${kill}`}`
    const now = await stateOf(source)
    const body = await exportOf(source, kill % 2 ? {} : { base: old })
    const answer = put(server.url, body).catch(() => 'cut off')
    const moment = Math.random() * longest * 1.5
    await sleep(moment)
    await killed.end('SIGKILL')
    await answer
    if (kill + 1 < KILLS) server = killed = await start()
    else server = await startService(t, settings)
    const held = (await lookUpScope(sql, 'default', WHOLE_POOL)).state
    t.ok(held === old || held === now, `after ${Math.round(moment)} ms: ${held === old ? 'old' : 'new'}`)
    t.equal(await stateFromScratch(sql, 1, WHOLE_POOL), held, 'it is the state of the rows')
    const again = await putUntilAccepted(server.url, held === now ? full : body)
    const { status } = held === now ? await putUntilAccepted(server.url, await exportOf(source)) : again
    t.equal(status, 200, `the repeated PUT: ${JSON.stringify(again.json)}`)
    t.equal((await lookUpScope(sql, 'default', WHOLE_POOL)).state, now)
    t.equal(await stateFromScratch(sql, 1, WHOLE_POOL), now)
  }
})
