import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { unfinishedBatches } from '../../src/batches/unfinished.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* All batches share the threads and take turns, chunk by chunk. */

const NO_HASH = { password_hash: { algorithm: 'none' } }
const { call, sql } = await sharedService(t)

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

t.test('a batch takes no more workers than it has chunks of users or credentials', async (t) => {
  const workersOf = async (count: number, chunkSize: number, credentials: number) => {
    const open = await sql.reserve()
    await open`begin` // never committed, so no dispatcher sees the batch
    await open`
      insert into batches (pool_id, id, total_requested, first_user_number, first_credential_id, credential_count,
        username_pattern, email_suffix, config)
      values (1, uuid_v7(), ${count}, 1, 1, ${credentials}, 'x', '', ${JSON.stringify({ max_workers: 3, chunk_size: chunkSize })})`
    const [batch] = await unfinishedBatches(open, 1)
    await open`rollback`
    open.release()
    return batch?.max_workers
  }
  t.equal(await workersOf(10, 10, 1), 1)
  t.equal(await workersOf(11, 10, 1), 2)
  t.equal(await workersOf(100, 10, 1), 3, 'the setting of the batch is the maximum')
  t.equal(await workersOf(10, 10, 2), 2)
})
