import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { makePool } from '../export/observe.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { exportOf, makeUsers, put, replicaService, stateOf } from './pair.ts'

const t = suite()

/*
 * Who else may write to a replica, and which pools may become one. Tried, and failing here: an import's check without
 * its lock.
 */

const service = await replicaService(t)
const { sql, call, url } = service

const setReplica = (pool: string, replica: string | boolean) =>
  call('PATCH', `/v1/pools/${pool}`, { body: { replica } })

/** Creates a pool with a finished batch of two users, to become a replica later. */
async function poolWithBatch(name: string): Promise<{ batch: string; user: string }> {
  await makePool(sql, name)
  const body = { count: 2, pool: name, config: { password_hash: { algorithm: 'none' } } }
  const { json } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  const [row] = await sql<{ id: string }[]>`select id from users where batch_id = ${json.id} order by id limit 1`
  return { batch: json.id, user: row?.id ?? '' }
}

/** Every route that writes users, in an order in which none affects the next, with its status for a normal pool. */
const writesOf = (pool: string, { batch, user }: { batch: string; user: string }) =>
  [
    ['POST', `/v1/batches?pool=${pool}`, { count: 1 }, 202],
    ['POST', `/v1/users/import?pool=${pool}&format=ndjson`, '{"username":"i@example.com"}\n', 201],
    ['POST', `/v1/users/import?pool=${pool}&format=ndjson&on_conflict=update`, '{"username":"i@example.com"}\n', 201],
    ['PATCH', `/v1/users/${user}?pool=${pool}`, { role: 'changed' }, 200],
    ['DELETE', `/v1/users/${user}?pool=${pool}`, undefined, 204],
    ['DELETE', `/v1/batches/${batch}?pool=${pool}`, undefined, 200],
  ] as const

const NDJSON = { 'content-type': 'application/x-ndjson' }
const send = (method: string, path: string, body: object | string | undefined) =>
  call(method, path, { ...(body !== undefined && { body }), ...(typeof body === 'string' && { headers: NDJSON }) })

t.test('a replica rejects all other writes, and accepts them again after it is released', async (t) => {
  const made = await poolWithBatch('writes')
  t.match(await setReplica('writes', 'everything'), { status: 200, json: { name: 'writes', replica: 'everything' } })
  const state = await stateOf(service, 'writes')
  for (const [method, path, body] of writesOf('writes', made)) {
    const refused = { status: 409, json: { code: 'pool_is_replica' } }
    t.match(await send(method, path, body), refused, `${method} ${path}`)
  }
  t.equal(await stateOf(service, 'writes'), state, 'nothing was changed')
  t.match(
    await sql`select count(*)::int as count from batches b join pools p on p.id = b.pool_id where p.name = 'writes'`,
    [{ count: 1 }],
  )
  t.match(await call('POST', `/v1/batches/${made.batch}/cancel?pool=writes`), { status: 200 }, 'it writes no user')
  t.match(await call('GET', '/v1/users?pool=writes'), { json: { items: { length: 2 } } }, 'it can still be read')

  t.match(await setReplica('writes', 'none'), { status: 200, json: { replica: 'none' } })
  for (const [method, path, body, status] of writesOf('writes', made)) {
    t.match(await send(method, path, body), { status }, `${method} ${path}`)
  }
})

t.test('PATCH declares and releases a replica', async (t) => {
  await makePool(sql, 'patched')
  const since = async () =>
    (await sql<{ at: string | null }[]>`select replica_since as at from pools where name = 'patched'`)[0]?.at
  t.match(await setReplica('patched', 'none'), { status: 200, json: { replica: 'none' } }, 'not a replica, released')
  t.match(await setReplica('patched', 'test_users'), { status: 200, json: { replica: 'test_users' } })
  const first = await since()
  t.match(await setReplica('patched', 'everything'), { status: 200, json: { replica: 'everything' } }, 'declared again')
  t.equal(await since(), first)
  t.match(await setReplica('patched', true), { json: { replica: 'test_users' } }, 'true means test_users')
  t.match(await call('GET', '/v1/pools?limit=1000'), {
    json: { items: [{ replica: 'none' }, { name: 'patched', replica: 'test_users' }] },
  })
  t.match(await setReplica('nowhere', true), { status: 404, json: { code: 'pool_not_found' } })
  for (const body of [{}, { replica: 'true' }, { replica: null }, { replica: 'everything', name: 'x' }]) {
    t.match(await call('PATCH', '/v1/pools/patched', { body }), { status: 400 }, JSON.stringify(body))
  }
  t.match(await call('DELETE', '/v1/pools/patched'), { status: 204 }, 'a replica can be deleted')
  t.match(await setReplica('default', 'everything'), { status: 200, json: { replica: 'everything' } })
  t.match(await setReplica('default', false), { status: 200, json: { replica: 'none' } })
})

t.test('a pool with unfinished batches cannot become a replica', async (t) => {
  const poolId = await makePool(sql, 'busy')
  // Like a batch whose worker is gone. No worker takes it, because another transaction locks its unfinished chunk.
  const { id } = (
    await call<Batch>('POST', '/v1/batches', { body: { count: 1, pool: 'busy' }, headers: { prefer: 'wait=30' } })
  ).json
  await sql`delete from users where pool_id = ${poolId}`
  await sql`update batches set status = 'running', finished_at = null where id = ${id}`
  const holder = await openTransaction(t, sql)
  await holder`select from batches where id = ${id} for update`
  const inUse = { status: 409, json: { code: 'pool_in_use' } }
  t.match(await setReplica('busy', true), inUse)
  await makePool(sql, 'empty')
  t.match(await put(url, await exportOf(service, { pool: 'empty' }), { pool: 'busy' }), inUse, 'nor by an export')
  await holder.rollback()
})

t.test('a full export is rejected by a pool with users that was not declared a replica', async (t) => {
  const poolId = await makePool(sql, 'mine')
  await makeUsers(sql, 20)
  const body = await exportOf(service)
  await sql`insert into users (pool_id, username, email) values (${poolId}, 'mine', 'mine@example.com')`
  const state = await stateOf(service, 'mine')
  t.match(await put(url, body, { pool: 'mine' }), { status: 409, json: { code: 'pool_not_replica', detail: /PATCH/ } })
  t.equal(await stateOf(service, 'mine'), state)
  t.match(await call('GET', '/v1/pools/mine'), { json: { replica: 'none' } })

  const unchanged = await exportOf(service, { pool: 'mine', base: state })
  t.match(await put(url, unchanged, { pool: 'mine' }), { status: 200, json: { kind: 'unchanged', total_count: 1 } })
  t.match(
    await call('GET', '/v1/pools/mine'),
    { json: { replica: 'none' } },
    'an export without changes does not make it a replica',
  )

  await setReplica('mine', 'everything')
  t.match(await put(url, body, { pool: 'mine' }), { status: 200, json: { counts: { added: 20, deleted: 1 } } })
  await setReplica('mine', false)
  const base = await stateOf(service)
  await sql`delete from users where pool_id = 1 and username = 'user7'`
  t.match(await put(url, await exportOf(service, { base }), { pool: 'mine' }), { status: 200, json: { kind: 'delta' } })
  t.match(
    await call('GET', '/v1/pools/mine'),
    { json: { replica: 'everything' } },
    'a delta with a matching base makes it a replica again',
  )
})

const isLockWaitedFor = async () =>
  (await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).length > 0

/** Sends a request while the pool is locked as by a PUT, then makes the pool a replica, or releases it. Returns the response. */
async function whileBecoming(pool: string, isReplica: boolean, request: () => Promise<unknown>): Promise<unknown> {
  const locker = await openTransaction(t, sql)
  await locker`select from pools where name = ${pool} for update`
  const answer = request()
  for (let n = 0; n < 300 && !(await isLockWaitedFor()); n++) await sleep(10)
  await locker`update pools set replica_since = case when ${isReplica} then now() end where name = ${pool}`
  await locker.commit()
  return answer
}

t.test('a write that arrives while its pool becomes a replica waits, and is rejected', async (t: Test) => {
  const made = await poolWithBatch('becoming')
  for (const [method, path, body] of writesOf('becoming', made)) {
    const answer = await whileBecoming('becoming', true, () => send(method, path, body))
    t.match(answer, { status: 409, json: { code: 'pool_is_replica' } }, `${method} ${path}`)
    await sql`update pools set replica_since = null where name = 'becoming'`
  }
  t.match(await sql`select count(*)::int as count from users where batch_id = ${made.batch}`, [{ count: 2 }])
})

t.test(
  'a write that arrives before its pool is released is rejected, also if the pool is released meanwhile',
  async (t) => {
    const made = await poolWithBatch('released')
    for (const [method, path, body] of writesOf('released', made).filter(([, path]) => path.includes(made.user))) {
      await setReplica('released', 'everything')
      const answer = await whileBecoming('released', false, () => send(method, path, body))
      t.match(answer, { status: 409, json: { code: 'pool_is_replica' } }, `${method} ${path}`)
    }
  },
)
