import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilReady } from './client.ts'
import { checkExact } from './exact.ts'

const t = suite()

/*
 * A suspended replica (SIGSTOP, a frozen container, a sleeping laptop) keeps its connections, and with them the lock on
 * its chunk. PostgreSQL ends its idle transaction, and the other replica does the chunk. The first insert of the suspended
 * worker waits for a lock while PostgreSQL prepares it, the moment at which the published driver had no timeout.
 */

const USERS = sized(1_000, 8_000)

/** How long a suspended replica may keep its chunk; 20 s outside of this test. */
const PACE = { workerIdleTimeoutMs: 2_000 }

t.test('the chunks of a suspended replica are done by another, and it continues when it is resumed', async (t) => {
  const url = await testDatabase()
  const settings = {
    DATABASE_URL: `${url}?application_name=stopped`,
    ENCRYPTION_KEY: 'e1'.repeat(32),
    MAX_WORKERS: '1',
  }
  const stopped = await startServerProcess(t, settings, PACE)
  const other = await startService(t, { DATABASE_URL: url, MAX_WORKERS: '2' }, PACE)
  const sql = connect({ url, schema: 'usersync', connections: 2, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const untilWorkers = async (condition: string) => {
    for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(20)) {
      const [row] = await sql`
        select count(*)::int from pg_stat_activity
        where datname = current_database() and application_name = 'stopped worker' and ${sql.unsafe(condition)}`
      if (row?.['count'] > 0) return
    }
    throw new Error(`no worker of the suspended replica with ${condition}`)
  }
  const id = await sql.begin(async (tx) => {
    await tx`lock table users in share mode` // stops each worker in the middle of its chunk
    const id = await beginBatch(stopped.url, USERS, { chunk_size: 100 })
    await untilWorkers(`wait_event_type = 'Lock'`)
    process.kill(stopped.pid, 'SIGSTOP')
    return id
  })
  await untilWorkers(`state = 'idle in transaction'`)
  const began = performance.now()
  const batch = await untilEnded(other.url, id)
  t.comment(`the batch ended ${Math.round(performance.now() - began)} ms later`)
  await checkExact(t, url, batch, USERS)

  process.kill(stopped.pid, 'SIGCONT')
  await untilReady(stopped.url)
  await checkExact(t, url, (await ask(stopped.url, `/v1/batches/${id}`)).json, USERS)
  t.equal(await stopped.end('SIGTERM'), 0)
})
