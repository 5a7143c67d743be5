import { existsSync } from 'node:fs'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded } from './client.ts'
import { checkExact } from './exact.ts'

const t = suite()

/* One replica's clock is wrong by years, the other's is right. The database's clock is used for every time. */

const FAKETIME = ['x86_64', 'aarch64']
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path))
/** Takes a minute. */
const skip =
  sized('only with SIZE=full', '') ||
  (FAKETIME ? false : 'libfaketime is not installed (Debian: apt-get install faketime)')

const USERS = 10_000

for (const [wrong, offset] of [
  ['two years ahead', '+730d'],
  ['ten years behind', '-3650d'],
] as const) {
  t.test(`a replica with its clock ${wrong} stores correct times`, { skip }, async (t) => {
    const url = await testDatabase()
    const settings = { DATABASE_URL: url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2' }
    const [right, off] = await Promise.all([
      startService(t, settings),
      startServerProcess(t, {
        ...settings,
        ...{ LD_PRELOAD: FAKETIME ?? '', FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' },
      }),
    ])
    const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
    t.teardown(() => sql.end({ timeout: 5 }))

    const state = (await (await fetch(`${right.url}/v1/states/current`)).json()) as { state: string }
    const expiring = await ask(off.url, '/v1/batches', { count: 10, expires_in: 3_600 })
    t.match(expiring, { status: 202 })
    const ids = [
      await beginBatch(off.url, USERS, { chunk_size: 200 }),
      await beginBatch(right.url, USERS, { chunk_size: 200 }),
    ]
    const idTime = Number.parseInt((ids[0] as string).replace('-', '').slice(0, 12), 16) // from the id, a UUIDv7
    t.ok(Math.abs(idTime - Date.now()) > 300 * 86_400_000, `its clock says ${new Date(idTime).toISOString()}`)
    for (const id of ids) await checkExact(t, url, await untilEnded(right.url, id), USERS)
    await untilEnded(right.url, expiring.json.id)

    const [times] = await sql`
      select count(*)::int as batches,
        bool_and(created_at between now() - interval '5 min' and now() and finished_at between created_at and now()
          and (expires_at is null or expires_at between now() + interval '50 min' and now() + interval '1 hour')) as right,
        (select bool_and(created_at between now() - interval '5 min' and now()) from users) as users_right
      from batches`
    t.same(times, { batches: 3, right: true, users_right: true }, 'every stored time is the database’s')
    await new Promise((resolve) => setTimeout(resolve, 11_000)) // the expiry job has run by then
    const { json } = await ask(off.url, `/v1/batches/${expiring.json.id}`)
    t.match(json, { status: 'completed', created_count: 10 })
    const [left] = await sql`select count(*)::int as count from users where batch_id = ${expiring.json.id}`
    t.equal(left?.['count'], 10, 'nothing expires early')
    for (const { url } of [right, off]) {
      const text = await (await fetch(`${url}/v1/users/export?format=ndjson&base=${state.state}`)).text()
      t.match(JSON.parse(text.slice(0, text.indexOf('\n'))), { kind: 'delta', counts: { added: 2 * USERS + 10 } })
    }
    t.equal(await off.end('SIGTERM'), 0)
  })
}
