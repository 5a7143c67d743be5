import { createShardStates } from '../../src/export/shard-states.ts'
import { createConcurrencyLimit } from '../../src/http/concurrency-limit.ts'
import { stateOf } from '../../src/protocol/state.ts'
import { lookUpScope } from '../../src/states/scope-state.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The states of parts: `shard=i/n` on the current state. */

const { call, sql } = await sharedService(t)
const USERS = sized(300, 3_000)
await sql`
  insert into users (username, email, created_by_bulk)
  select 'u' || n, 'u' || n || '@example.com', n % 2 = 0 from generate_series(1, ${USERS}::int) n`

interface Current {
  state: string
  total_count: number
}
const current = async (query: string) => (await call<Current>('GET', `/v1/states/current?${query}`)).json

/** Adds states word by word, modulo 2^64. */
function sumOf(states: string[]): string {
  const words = [0n, 0n, 0n, 0n]
  for (const state of states)
    for (let i = 0; i < 4; i++)
      words[i] = BigInt.asUintN(64, (words[i] ?? 0n) + BigInt(`0x${state.slice(3 + 16 * i, 19 + 16 * i)}`))
  return `u1-${words.map((word) => word.toString(16).padStart(16, '0')).join('')}`
}

t.test('the states of all parts add up to the state of the whole, and each is that of its users', async (t) => {
  for (const filter of ['pool=default', 'bulk_users_only=true', 'pool=default&test_users_only=false']) {
    for (const count of [1, 2, 7]) {
      const whole = await current(filter)
      const parts: Current[] = []
      for (let i = 0; i < count; i++) {
        const part = await current(`${filter}&shard=${i}/${count}`)
        const { raw } = await call('GET', `/v1/users/export?${filter}&format=ndjson&shard=${i}/${count}`)
        const lines = String(raw).trimEnd().split('\n').slice(1, -1)
        t.strictSame([part.state, part.total_count], [stateOf(lines), lines.length], `${filter} ${i}/${count}`)
        parts.push(part)
      }
      t.equal(sumOf(parts.map(({ state }) => state)), whole.state)
      t.equal(
        parts.reduce((sum, { total_count }) => sum + total_count, 0),
        whole.total_count,
      )
    }
  }
})

t.test('more parts than users, a part that changes, and a pool without users', async (t) => {
  const before = await current('shard=0/1')
  await sql`delete from users where username = 'u1'`
  const after = await current('shard=0/1')
  t.not(after.state, before.state)
  t.equal(after.state, (await current('')).state)
  const states = await Promise.all(Array.from({ length: 60 }, (_, i) => current(`shard=${i * 100}/9999`)))
  t.ok(states.some(({ total_count }) => total_count === 0))
  await call('POST', '/v1/pools', { body: { name: 'empty' } })
  t.match(await current('pool=empty&shard=1/3'), { state: `u1-${'0'.repeat(64)}`, total_count: 0 })
})

t.test('all parts of a state are computed in one read, also for clients that come at once', async (t) => {
  const limit = createConcurrencyLimit(4, 5_000)
  let reads = 0
  const acquire = () => {
    reads++
    return limit.acquire()
  }
  const scope = { pool: 'default', filter: { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false } }
  const source = { sql, concurrencyLimit: { ...limit, acquire }, encryptionKey: Buffer.alloc(0) }
  const shardState = createShardStates(source, ({ pool, filter }) => lookUpScope(sql, pool, filter))
  for (const role of ['one', 'other']) {
    await sql`update users set role = ${role} where username = 'u2'`
    const read = (i: number) => shardState(scope, { index: i % 5, count: 5 })
    const parts = await Promise.all(Array.from({ length: 20 }, (_, i) => read(i)))
    t.strictSame(await Promise.all([0, 1, 2, 3, 4].map(read)), parts.slice(0, 5))
    t.equal(sumOf(parts.slice(0, 5).map(({ state }) => state)), (await current('')).state)
  }
  t.equal(reads, 2, 'one for each state')
  t.equal(limit.active(), 0)
})

t.test('bad parts', async (t) => {
  for (const shard of ['3/3', '0/0', 'x', '-1/2']) {
    t.match(
      await call('GET', `/v1/states/current?shard=${shard}`),
      { status: 400, json: { code: 'invalid_request' } },
      shard,
    )
  }
})
