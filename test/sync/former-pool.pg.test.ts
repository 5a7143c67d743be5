import { connect } from '../../src/database/connection.ts'
import { createExports } from '../../src/export/exports.ts'
import { push } from '../../src/sync/push.ts'
import { NO_LIMITS } from '../../src/sync/target-settings.ts'
import { createTarget, readTarget, type TargetSettings } from '../../src/sync/targets.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, startReceiver } from './receiver.ts'

const t = suite()

const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end({ timeout: 5 }))
const encryptionKey = Buffer.alloc(32, 7)
const exports = createExports({ sql, encryptionKey, concurrency: 1, waitMs: 0, cache: undefined })

/** Creates the pool with one user, and returns its id. */
async function createPool(user: string): Promise<number> {
  const [{ id } = { id: 0 }] = await sql<{ id: number }[]>`insert into pools (name) values ('shop') returning id`
  await sql`insert into users (pool_id, username, email) values (${id}, ${user}, ${`${user}@example.com`})`
  return id
}

t.test('a push whose pool was deleted sends nothing of a later pool with that name', async (t) => {
  const receiver = await startReceiver(t)
  const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  const settings: TargetSettings = {
    ...{ kind: 'usersync', url: receiver.url, key: RECEIVER_KEY, remotePool: 'shop', filter },
    ...{ mapping: null, limits: NO_LIMITS, canary: null, intervalSeconds: null },
  }
  const poolId = await createPool('former')
  await createTarget(sql, encryptionKey, { poolId, name: 'tester', ...settings })
  const target = await readTarget(sql, encryptionKey, poolId, 'tester')
  const { signal } = new AbortController()
  t.match(await push(exports, target, { full: false, signal }), { failure: null, added_count: 1 })
  const before = receiver.held
  await sql`delete from users where pool_id = ${poolId}`
  await sql`delete from pools where id = ${poolId}`
  await createPool('later')
  for (const full of [false, true])
    await t.rejects(push(exports, target, { full, signal }), { code: 'target_not_found' })
  t.strictSame(receiver.held, before)
  t.equal(exports.reading(), 0, 'no snapshot stays open')
})
