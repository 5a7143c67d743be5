import type { Batch } from '../../src/batches/batches.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* ANALYZE takes a lock that conflicts with VACUUM, CREATE INDEX CONCURRENTLY and another ANALYZE. */

const { sql, call } = await sharedService(t)
const config = { password_hash: { algorithm: 'none' } }
const LARGE = 10_000

t.test('a long VACUUM does not block batches or imports', async (t) => {
  const vacuum = await sql.reserve()
  await vacuum`begin`
  await vacuum`lock table users in share update exclusive mode`
  try {
    for (const count of [LARGE, 1]) {
      const { json } = await call<Batch>('POST', '/v1/batches', {
        body: { count, config },
        headers: { prefer: 'wait=30' },
      })
      t.match(json, { status: 'completed', created_count: count })
    }
    const rows = Array.from({ length: LARGE }, (_, n) => `{"username":"taken_${n}@example.com"}`)
    const headers = { 'content-type': 'application/x-ndjson' }
    t.match(await call('POST', '/v1/users/import', { body: rows.join('\n'), headers }), {
      status: 201,
      json: { created_count: LARGE },
    })
  } finally {
    await vacuum`rollback`
    vacuum.release()
  }
})
