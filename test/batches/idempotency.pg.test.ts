import type { Batch } from '../../src/batches/batches.ts'
import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call } = await sharedService(t, WITH_KEYS)

t.test('idempotency keys are separate for each API key', async (t) => {
  const post = async (key: string, count: number) => {
    const headers = { ...as(key), 'idempotency-key': 'order-66', prefer: 'wait=30' }
    const body = { count, config: { password_hash: { algorithm: 'none' } } }
    return await call<Batch & { code?: string }>('POST', '/v1/batches', { body, headers })
  }
  const mine = await post('maker', 2)
  const theirs = await post('writer', 3)
  t.match([mine.status, theirs.status], [201, 201], 'a different body under another API key is not a conflict')
  t.not(mine.json.id, theirs.json.id)
  t.equal((await post('maker', 2)).json.id, mine.json.id)
  t.equal((await post('writer', 3)).json.id, theirs.json.id)
  t.match(
    await post('writer', 2),
    { status: 422, json: { code: 'idempotency_key_reused' } },
    'the response does not depend on the other API key',
  )
})
