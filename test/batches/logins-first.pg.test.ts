import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { workChunk } from '../../src/batches/chunks.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import type { Service } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { KEY, newBatch } from './new-batch.ts'

const t = suite()

/*
 * Everything that an export can include with a user is committed before the user: a login does not change the state, so
 * a later delta would not contain it.
 */

t.test('no chunk of users starts while a chunk of credentials is in progress', async (t) => {
  const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 3, name: 'test' })
  t.teardown(() => sql.end())
  const id = await newBatch(sql, { password_hash: { algorithm: 'none', distinct: 2 } })
  await sql`update chunks set last_n = 1 where batch_id = ${id} and kind = 'credentials'`
  await sql`insert into chunks (pool_id, batch_id, kind, first_n, last_n) values (1, ${id}, 'credentials', 2, 2)`
  const work = () => workChunk(sql, 1, id, KEY)

  const other = await openTransaction(t, sql) // another worker, in the middle of the first chunk
  await other`select from chunks where batch_id = ${id} and kind = 'credentials' and first_n = 1 for update`
  t.match(await work(), { outcome: 'done', kind: 'credentials', first_n: 2 })
  t.match(await work(), { outcome: 'none' })
  await other.rollback()
  t.match(await work(), { outcome: 'done', kind: 'credentials', first_n: 1 })
  t.match([await work(), await work()], [{ kind: 'users' }, { kind: 'users' }])
  t.match(await work(), { outcome: 'none' })
})

interface Login {
  id: string
  password: string | null
  password_hash: string | null
}

/** Follows the batch by deltas from its first user. Returns its logins; fails at the first user without one. */
async function follow(t: Test, call: Service['call'], id: string): Promise<Map<string, Login>> {
  const held = new Map<string, Login>()
  let state = ''
  for (let ended = false; ; ) {
    const wasEnded = ended
    const batch = (await call<Batch>('GET', `/v1/batches/${id}`)).json
    ended = batch.finished_at !== null
    const base = state && `&base=${state}`
    const { raw } = await call(
      'GET',
      `/v1/users/export?format=ndjson&include=password,password_hash&batch_id=${id}${base}`,
    )
    const [head, ...lines] = raw
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const login of lines.slice(0, -1) as Login[]) {
      held.set(login.id, login)
      if (login.password !== null && login.password_hash !== null) continue
      t.fail(`a user without a login, in the ${head.kind} export with ${head.total_count} users`)
      return held
    }
    state = head.state
    if (wasEnded) return held
  }
}

const BATCHES: [name: string, count: number, config: object][] = [
  ['shared', sized(600, 10_000), { chunk_size: sized(30, 500) }],
  [
    'per_user',
    sized(150, 3_000),
    {
      password_mode: 'per_user',
      password_hash: sized({ memory_kib: 64, distinct: 20 }, { distinct: 100 }),
      chunk_size: sized(50, 500),
    },
  ],
]

t.test('a client that follows a batch by deltas never receives a user without its login', async (t) => {
  const { call } = await sharedService(t)
  for (const [name, count, config] of BATCHES) {
    const { json } = await call<Batch>('POST', '/v1/batches', { body: { count, config } })
    const held = await follow(t, call, json.id)
    t.equal(held.size, count, name)
  }
})
