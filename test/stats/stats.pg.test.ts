import type { PoolStats } from '../../src/stats/routes.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql } = await sharedService(t)
const makePool = (name: string) => call('POST', '/v1/pools', { body: { name } })
const stats = async (pool: string) => (await call<PoolStats>('GET', `/v1/stats?pool=${pool}`)).json
const stateOf = async (pool: string) =>
  (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state

t.test('users are counted by kind, also if plain SQL creates or deletes them, and batches by status', async (t) => {
  await makePool('counted')
  await makePool('other')
  const make = async (count: number, config = {}) => {
    const body = { pool: 'counted', count, config: { password_hash: { algorithm: 'none' }, ...config } }
    const headers = { prefer: 'wait=30' }
    return (await call<{ id: string; status: string }>('POST', '/v1/batches', { body, headers })).json
  }
  await make(7)
  const { id } = await make(5)
  await sql`
    insert into users (pool_id, username, email, is_test_user)
    select p.id, u, u || '@example.com', u <> 'real' from pools p, unnest(array['plain', 'real']) u
    where p.name = 'counted'`
  const { state, ...counts } = await stats('counted')
  const batches = { queued: 0, running: 0, completed: 2, completed_with_failures: 0, cancelled: 0, failed: 0 }
  t.strictSame(counts, {
    pool: 'counted',
    total_users: 14,
    test_users: 13,
    bulk_users: 12,
    protected_users: 1,
    batches,
  })
  t.equal(state, await stateOf('counted'))

  await call('DELETE', `/v1/batches/${id}?pool=counted`)
  t.match(await stats('counted'), { total_users: 9, test_users: 8, bulk_users: 7, protected_users: 1 })
  t.equal((await stats('counted')).state, await stateOf('counted'))
})

t.test('a pool without users has zero counts and the empty state', async (t) => {
  await makePool('empty')
  t.match(await stats('empty'), { total_users: 0, test_users: 0, bulk_users: 0, protected_users: 0 })
  t.equal((await stats('empty')).state, await stateOf('empty'))
})

t.test('an unknown pool or parameter is rejected', async (t) => {
  t.match(await call('GET', '/v1/stats?pool=nowhere'), { status: 404, json: { code: 'pool_not_found' } })
  t.match(await call('GET', '/v1/stats?batch=1'), { status: 400, json: { code: 'invalid_request' } })
})
