import type { Batch } from '../../src/batches/batches.ts'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

const ONE = 'one-s3cret-of-32-characters-or-more!!'
const OTHER = 'other-s3cret-of-32-characters-or-more'
const { call } = await startService(t, { API_KEYS: `one=users:write=${ONE},other=users:write=${OTHER}` })

t.test('idempotency keys are separate for each API key', async (t) => {
  const post = async (secret: string, count: number) => {
    const headers = { authorization: `Bearer ${secret}`, 'idempotency-key': 'order-66', prefer: 'wait=30' }
    const body = { count, config: { password_hash: { algorithm: 'none' } } }
    return await call<Batch & { code?: string }>('POST', '/v1/batches', { body, headers })
  }
  const mine = await post(ONE, 2)
  const theirs = await post(OTHER, 3)
  t.match([mine.status, theirs.status], [201, 201], 'a different body under another API key is not a conflict')
  t.not(mine.json.id, theirs.json.id)
  t.equal((await post(ONE, 2)).json.id, mine.json.id)
  t.equal((await post(OTHER, 3)).json.id, theirs.json.id)
  t.match(
    await post(OTHER, 2),
    { status: 422, json: { code: 'idempotency_key_reused' } },
    'the response does not depend on the other API key',
  )
})
