import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'
import { createClient, untilFailed, untilStatus } from './client.ts'
import { pairDatabase } from './replicated.ts'

const t = suite()

/* A standby that was promoted, and one that follows another history. This must be the last file of the lane: the pair is none afterwards. */

const { standby, urls, sql, there } = await pairDatabase(t)
const service = await startService(
  t,
  { DATABASE_URL: urls.primary, READ_DATABASE_URL: urls.standby },
  { standbys: { waitMs: 50, pollMs: 5, checkMs: 20, retryMs: 20 } },
)
await sql`insert into users (username, email) select 'u' || n, 'u' || n || '@example.com' from generate_series(1, 5) n`

let changes = 0
const change = () => sql`update users set role = ${`change ${++changes}`} where username = 'u1'`
const stateOf = async () => (await service.call<{ state: string }>('GET', '/v1/states/current')).json.state

t.test('neither is read', async (t) => {
  const client = createClient(service)
  await client.follow()
  /** Follows, and returns whether the client has the state of the primary. */
  const isRight = async () => {
    await client.follow()
    return client.held().state === (await stateOf())
  }
  await there`select pg_promote()`
  for (const role of ['one', 'two']) await there`update users set role = ${role}`
  await change()
  t.ok(await isRight())
  t.equal(await untilStatus(service, 'promoted'), 'promoted')

  await standby.stop()
  await standby.makeStandby()
  await standby.start()
  t.equal(await untilStatus(service, 'ready'), 'ready', 'it is a standby again, but not of this primary')
  t.ok(
    await untilFailed(service, 'ahead', () => createClient(service).follow()),
    'it has a version that the primary never had',
  )
  t.ok(await isRight())
  await change()
  t.ok(
    await untilFailed(service, 'diverged', () => createClient(service).follow()),
    'it has the version, with another state',
  )
  t.ok(await isRight())
})
