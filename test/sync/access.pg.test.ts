import { setTimeout as sleep } from 'node:timers/promises'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, startReceiver } from './receiver.ts'

const t = suite()

/* What status and verify show to each key, also for targets that cannot be reached. */

const { call, sql } = await sharedService(t, WITH_KEYS)
const status = async (key: string) =>
  await call<{ items: { target: string; remote_failure: string | null }[] }>('GET', '/v1/sync/status', {
    headers: as(key),
  })
const verify = (key: string, target: string) => call('POST', '/v1/sync/verify', { headers: as(key), body: { target } })

const receiver = await startReceiver(t)
const create = (body: object) => call('POST', '/v1/targets', { headers: as('root'), body })
await create({ name: 'narrow', url: receiver.url, key: RECEIVER_KEY })
await create({ name: 'wide', url: receiver.url, key: RECEIVER_KEY, filter: { test_users_only: false } })
await create({ name: 'tls', url: receiver.url.replace('http:', 'https:') })
await create({ name: 'nowhere', url: 'http://nobody.invalid' })
await sql`insert into users (username, email, is_test_user) values ('ceo', 'ceo@example.org', false)`

t.test('an unreachable target does not affect the status of the others', async (t) => {
  const { status: code, json } = await status('root')
  t.equal(code, 200)
  const faults = Object.fromEntries(json.items.map(({ target, remote_failure }) => [target, remote_failure]))
  t.match(faults, { narrow: null, wide: null, tls: 'unreachable', nowhere: 'unreachable' })
  for (const target of ['tls', 'nowhere']) {
    t.match(await verify('root', target), { status: 502, json: { code: 'target_failed', detail: /^unreachable: / } })
  }
})

t.test('a run to an unreachable target fails as unreachable, with the error code', async (t) => {
  const { headers } = await call('POST', '/v1/sync', { headers: as('root'), body: { target: 'tls' } })
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(50)) {
    const { json } = await call<SyncRun>('GET', String(headers.location), { headers: as('root') })
    if (json.finished_at === null) continue
    t.match(json, { status: 'failed', failure: 'unreachable', attempts: 4, detail: /ERR_SSL/ })
    return
  }
  t.fail('the run did not end')
})

t.test('only an admin key can see a target with users that are not test users', async (t) => {
  const { json } = await status('reader')
  t.strictSame(
    json.items.map(({ target }) => target),
    ['narrow', 'nowhere', 'tls'],
  )
  t.match(await verify('reader', 'wide'), { status: 403, json: { code: 'forbidden' } })
  t.notMatch((await verify('reader', 'narrow')).status, 403)
  t.notMatch((await verify('root', 'wide')).status, 403)
})
