import { setTimeout as sleep } from 'node:timers/promises'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { CHEAP_HASH, sinkRoutes, sinkService, startSystem } from './sink.ts'
import { DJANGO } from './systems.ts'

const t = suite()

/* A pool that has the planned state once more, after others that a run has met: the target may differ although the states are equal. */

const service = await sinkService(t)
const { call } = service
const system = await startSystem(t, DJANGO)
const { create, sync, status } = sinkRoutes(service)

const USERS = 10

/** The same users each time, with the same ids: the pool has the same state. Returns the id of the batch. */
async function populate(): Promise<string> {
  const config = { seed: 'again', epoch: '2026-01-01T00:00:00Z', password_hash: CHEAP_HASH }
  const headers = { prefer: 'wait=60' }
  return (await call<{ id: string }>('POST', '/v1/batches', { body: { count: USERS, config }, headers })).json.id
}

const present = async () => (await system.sql`select from auth_user where not is_staff`).count

const waiting = () => system.sql`
  select from pg_stat_activity
  where datname = current_database() and application_name = 'usersync sink' and wait_event_type = 'Lock'`

t.test('users that were deleted while a run filled the target, and are there again, arrive', async (t) => {
  const batch = await populate()
  await create({ name: 's', url: system.url, preset: 'django', limits: { batch: 2, concurrency: 1 } })
  const tx = await openTransaction(t, system.sql)
  await tx`lock table auth_user`
  const run = sync('s')
  while ((await waiting()).count === 0) await sleep(5)
  t.match(await call('DELETE', `/v1/batches/${batch}`), { status: 200 })
  await tx.rollback()
  t.match(await run, { status: 'succeeded', kind: 'full' })
  t.ok((await present()) < USERS)
  t.equal(await populate(), batch)
  t.match(await status('s'), { in_step: false })
  t.match(await sync('s'), { status: 'succeeded', kind: 'full' })
  t.equal(await present(), USERS)
  t.match(await status('s'), { in_step: true })
  t.match(await sync('s'), { kind: 'unchanged' })
})
