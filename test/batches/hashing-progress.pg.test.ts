import { readBatch } from '../../src/batches/batches.ts'
import { workChunk } from '../../src/batches/chunks.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'
import { KEY, newBatch } from './new-batch.ts'

const t = suite()

t.test('progress and eta_seconds count the hashing, in proportion to its cost', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const id = await newBatch(sql, {
    password_mode: 'per_user',
    password_hash: { algorithm: 'bcrypt', cost: 6, distinct: 20 },
  })
  await sql`update chunks set last_n = 10 where kind = 'credentials'` // all 20 are less than a second of work
  await sql`insert into chunks (pool_id, batch_id, kind, first_n, last_n) values (1, ${id}, 'credentials', 11, 20)`
  const read = () => readBatch(sql, 1, id)
  const work = () => workChunk(sql, 1, id, KEY)
  t.match(await read(), { hashed_count: 0, progress: 0, eta_seconds: null })
  await sql`update batches set status = 'running', started_at = now() - interval '10 seconds'`

  t.match(await work(), { kind: 'credentials' })
  const hashing = await read()
  t.match(hashing, { hashed_count: 10, created_count: 0, throughput_per_second: 0 })
  t.ok(Math.abs(hashing.progress - 0.5) < 0.01, `progress ${hashing.progress}: the users cost next to nothing`)
  const expected = 10 / hashing.progress - 10
  t.ok(Math.abs((hashing.eta_seconds ?? 0) - expected) < 3, `${hashing.eta_seconds} s left, expected ${expected}`)

  while ((await work()).outcome === 'done') {}
  t.match(await read(), { hashed_count: 20, created_count: 20, progress: 1 })
})

t.test('a batch without hashes progresses by its users', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end())
  const id = await newBatch(sql)
  for (const [hashed_count, created_count, progress] of [
    [0, 0, 0],
    [0, 10, 0.5],
    [0, 20, 1],
  ]) {
    await workChunk(sql, 1, id, KEY)
    t.match(await readBatch(sql, 1, id), { hashed_count, created_count, progress })
  }
})
