import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { stateFromScratch } from '../export/observe.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import { call, untilEnded, untilMoving } from './worked-batch.ts'

const t = suite()

/*
 * A batch ends with exactly its users, whenever a process is killed. The one that completes it is this process. These tests
 * fail if the chunk is marked as finished in a separate transaction, before or after the insert.
 */

const KILLS = 6
const USERS = sized(3_000, 20_000)
const settings = (url: string) => ({
  DATABASE_URL: url,
  ENCRYPTION_KEY: '5e'.repeat(32),
  MAX_WORKERS: '2',
  LOG_LEVEL: 'info',
})

async function checkUsers(t: Test, url: string, batch: Batch): Promise<void> {
  t.match(batch, { status: 'completed', created_count: USERS, failed_count: 0, progress: 1 })
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  const [row] = await sql`
    select count(*)::int as count, count(distinct username)::int as names,
      (select count(*)::int from credentials) as hashes, (select count(*)::int from part_changes) as pending from users`
  t.same(row, { count: USERS, names: USERS, hashes: 1, pending: 0 })
  t.equal(batch.state, await stateFromScratch(sql, 1, { batchId: batch.id, testUsersOnly: true, bulkUsersOnly: false }))
  await sql.end()
}

t.test('a batch survives kill -9 and then SIGTERM in the middle of the work', async (t) => {
  const url = await testDatabase()
  const first = await startServerProcess(t, settings(url))
  const { batch } = await call(first, '/v1/batches', { count: USERS, config: { chunk_size: 100 } })
  await untilMoving(first, batch.id)
  t.equal(await first.end('SIGKILL'), 'SIGKILL')
  const second = await startServerProcess(t, settings(url))
  await untilMoving(second, batch.id)
  t.equal(await second.end('SIGTERM'), 0, 'a drain exits with code 0')
  const third = await startService(t, settings(url))
  await checkUsers(t, url, await untilEnded(third, batch.id))
})

// The small size suspends one of two replicas in faults/stopped-replica.pg.test.ts.
if (isFull)
  t.test('a batch shared by two replicas survives repeated kills of one of them', async (t) => {
    const url = await testDatabase()
    const survivor = await startService(t, settings(url))
    let victim = await startServerProcess(t, settings(url))
    const { batch } = await call(survivor, '/v1/batches', { count: USERS, config: { chunk_size: 100 } })
    for (let kill = 1; kill <= KILLS; kill++) {
      await untilMoving(survivor, batch.id)
      await sleep(Math.random() * 100)
      await victim.end('SIGKILL')
      if (kill < KILLS) victim = await startServerProcess(t, settings(url))
    }
    await checkUsers(t, url, await untilEnded(survivor, batch.id))
  })
