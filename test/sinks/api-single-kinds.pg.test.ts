import { suite } from '../suite.ts'
import { FUSIONAUTH_KEY, startFusionAuth } from './fakes/fusionauth.ts'
import { startKratos } from './fakes/kratos.ts'
import { sinkRoutes, sinkService } from './sink.ts'

const t = suite()

/* What single kinds of APIs need beside what api-kinds.pg.test.ts tests of all, against the same servers. */

const service = await sinkService(t)
const { call } = service

/** A pool of its own for a test. */
async function makePool(name: string) {
  await call('POST', '/v1/pools', { body: { name } })
  return sinkRoutes(service, name)
}

t.test('a FusionAuth behind a proxy that has lost it: its empty 404 removes nobody', async (t) => {
  const system = await startFusionAuth(t)
  const { create, sync, status, batch } = await makePool('lost')
  const id = await batch(2)
  await create({ kind: 'fusionauth', name: 's', url: system.url, key: FUSIONAUTH_KEY })
  t.match(await sync('s'), { status: 'succeeded', added_count: 2 })
  await call('DELETE', `/v1/batches/${id}?pool=lost`)
  system.disturb = () => ({ status: 404 })
  t.match(await sync('s'), { status: 'failed', failure: 'not_understood', deleted_count: 0 })
  t.match(await status('s'), { in_step: false })
  let isLost = false
  system.disturb = (_, { method }) => {
    isLost ||= method === 'DELETE'
    return isLost ? { status: 404 } : undefined
  }
  t.match(await sync('s'), { status: 'failed', failure: 'not_understood', deleted_count: 0 }, 'in the middle of a run')
  system.disturb = () => undefined
  t.equal(system.users.size, 2)
  t.match(await sync('s'), { status: 'succeeded', deleted_count: 2 })
  t.equal(system.users.size, 0)
})

t.test('per_second bounds what is sent at once', async (t) => {
  const system = await startKratos(t)
  const { create, sync, batch } = await makePool('paced')
  await batch(5, { password_hash: { algorithm: 'bcrypt', cost: 4 } })
  await create({ kind: 'kratos', name: 's', url: system.url, limits: { batch: 100, per_second: 4 } })
  const sizes: number[] = []
  system.disturb = (_, { method, text = '' }) => {
    if (method === 'PATCH') sizes.push(JSON.parse(text).identities.length)
    return undefined
  }
  t.match(await sync('s'), { status: 'succeeded', added_count: 5 })
  t.strictSame(sizes, [4, 1])
})
