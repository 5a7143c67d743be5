import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* All batches share the threads and take turns, chunk by chunk. */

const NO_HASH = { password_hash: { algorithm: 'none' } }
const { call } = await sharedService(t)

const make = async (body: object, prefer: string) => {
  const { json } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer } })
  return json
}
const read = async (id: string) => (await call<Batch>('GET', `/v1/batches/${id}`)).json

t.test('a small batch does not wait until earlier large batches end', async (t) => {
  const big = []
  for (let n = 0; n < 3; n++) {
    big.push(await make({ count: 20_000, config: { ...NO_HASH, chunk_size: 100 } }, 'respond-async'))
  }
  const small = await make({ count: 250, config: { ...NO_HASH, chunk_size: 100 } }, 'wait=60')
  t.match(small, { status: 'completed', created_count: 250 })
  const meanwhile = await Promise.all(big.map(({ id }) => read(id)))
  for (const { status } of meanwhile) t.equal(status, 'running')
  const hasUsers = async ({ id }: Batch) => (await read(id)).created_count > 0
  for (const batch of big) {
    for (let i = 0; i < 6_000 && !(await hasUsers(batch)); i++) await sleep(5) // one of its chunks may take long
    t.ok(await hasUsers(batch), 'a large batch has users')
  }
  for (const { id } of big) await call('POST', `/v1/batches/${id}/cancel`) // before a deletion gives the others time to grow
  for (const { id } of big) await call('DELETE', `/v1/batches/${id}`)
})
