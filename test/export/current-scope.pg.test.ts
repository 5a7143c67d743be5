import type { Sql } from 'postgres'
import { connect } from '../../src/database/connection.ts'
import { createExports } from '../../src/export/exports.ts'
import { lookUpScope } from '../../src/states/scope-state.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'
import { until } from './cache/harness.ts'
import { makePool } from './observe.ts'

const t = suite()

const url = await testDatabase()
const sql = connect({ url, schema: 'usersync', connections: 4, name: 'usersync test' })
t.teardown(() => sql.end())
await makePool(sql, 'other')

let users = 0
async function addUser(columns: { pool_id?: number; created_by_bulk?: boolean } = {}): Promise<void> {
  const name = `user${++users}`
  await sql`insert into users ${sql({ username: name, email: `${name}@example.com`, ...columns })}`
}

const ALL = { batchId: undefined, testUsersOnly: false, bulkUsersOnly: false }
const present = async () => (await lookUpScope(sql, 'default', ALL)).state

/** Exports whose look-ups have read the database, but do not return before the test lets them. */
function heldExports() {
  const held: (() => void)[] = []
  const query = async (...given: Parameters<Sql>) => {
    const rows = await sql(...given)
    await new Promise<void>((resolve) => held.push(resolve))
    return rows
  }
  const exports = createExports({
    ...{
      sql: query as unknown as Sql,
      encryptionKey: Buffer.alloc(32),
      concurrency: 1,
      waitMs: 1_000,
      cache: undefined,
    },
  })
  return {
    ask: async () => (await exports.currentScope({ pool: 'default', filter: ALL })).state,
    /** Resolves when so many look-ups have read. */
    read: (count: number) => until(() => held.length >= count),
    release: (lookUp: number) => held[lookUp]?.(),
    lookUps: () => held.length,
  }
}

t.test('a request sees each change that was committed before it, whatever look-ups are in progress', async (t) => {
  const { ask, read, release, lookUps } = heldExports()
  const before = await present()
  const first = ask()
  await read(1)
  await addUser()
  const afterOne = await present()
  const second = ask()
  await read(2)
  await addUser()
  const late = Array.from({ length: 20 }, ask) // while as many look-ups are in progress as are allowed
  await addUser()
  const afterAll = await present()
  release(0)
  t.equal(await first, before)
  await read(3)
  for (const lookUp of [1, 2]) release(lookUp)
  t.equal(await second, afterOne)
  t.strictSame(new Set(await Promise.all(late)), new Set([afterAll]))
  t.equal(lookUps(), 3, 'those that waited shared one')
})

t.test('concurrent requests for different scopes each get the state of their own', async (t) => {
  const [other] = await sql<{ id: number }[]>`select id from pools where name = 'other'`
  const [batch] = await sql<{ id: string }[]>`select gen_random_uuid() as id`
  await addUser({ created_by_bulk: true })
  await addUser({ pool_id: other?.id ?? 0 })
  await sql`insert into users (username, email, is_test_user) values ('real', 'real@example.com', false)`
  await sql`insert into users (username, email, batch_id) values ('batched', 'batched@example.com', ${batch?.id ?? ''})`
  const scopes = [
    ...['default', 'other'].map((pool) => ({ pool, filter: ALL })),
    { pool: 'default', filter: { ...ALL, testUsersOnly: true } },
    { pool: 'default', filter: { ...ALL, bulkUsersOnly: true } },
    { pool: 'default', filter: { ...ALL, batchId: batch?.id } },
  ]
  const exports = createExports({
    sql,
    encryptionKey: Buffer.alloc(32),
    concurrency: 1,
    waitMs: 1_000,
    cache: undefined,
  })
  const states = await Promise.all(
    [...scopes, ...scopes].map(async (scope) => (await exports.currentScope(scope)).state),
  )
  const own = await Promise.all(scopes.map(async ({ pool, filter }) => (await lookUpScope(sql, pool, filter)).state))
  t.strictSame(states, [...own, ...own])
  t.equal(new Set(own).size, scopes.length)
})
