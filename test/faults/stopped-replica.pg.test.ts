import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startServerProcess } from '../server-process.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { ask, beginBatch, untilEnded, untilMoving } from './client.ts'
import { checkExact } from './exact.ts'

const t = suite()

/*
 * A suspended replica (SIGSTOP, a frozen container, a sleeping laptop) keeps its connections, and with them the lock on
 * its chunk. PostgreSQL ends its idle transaction, and the other replica does the chunk.
 */

const USERS = sized(10_000, 20_000)
t.setTimeout(180_000)

/** A worker's transaction may be idle for 20 s. The poll and the chunk itself come after that. */
const BOUND_S = 35

t.test('the chunks of a suspended replica are done by another, and it continues when it is resumed', async (t) => {
  const url = await testDatabase(t)
  const settings = { DATABASE_URL: url, ENCRYPTION_KEY: '5e'.repeat(32), MAX_WORKERS: '2' }
  const [stopped, other] = await Promise.all([startServerProcess(t, settings), startServerProcess(t, settings)])
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const id = await beginBatch(stopped.url, USERS, { chunk_size: 100 })
  await untilMoving(other.url, id)
  let locked = 0
  for (let i = 0; i < 200 && locked === 0; i++) {
    process.kill(stopped.pid, 'SIGSTOP')
    await sleep(300) // running statements finish; what is left waits for the suspended process
    const [row] = await sql`
      select count(*)::int as idle from pg_stat_activity
      where datname = current_database() and application_name = 'usersync worker' and state = 'idle in transaction'
        and state_change < now() - interval '200 ms'`
    locked = row?.['idle']
    if (locked > 0) break
    process.kill(stopped.pid, 'SIGCONT')
    await sleep(Math.random() * 20)
  }
  t.ok(locked > 0, `it is suspended with ${locked} locked chunks`)
  const began = performance.now()
  const batch = await untilEnded(other.url, id, BOUND_S)
  t.comment(`the batch ended ${Math.round(performance.now() - began)} ms later`)
  await checkExact(t, url, batch, USERS)

  process.kill(stopped.pid, 'SIGCONT')
  await sleep(1_000)
  t.equal((await ask(stopped.url, '/readyz')).status, 200, 'the resumed replica works')
  await checkExact(t, url, (await ask(stopped.url, `/v1/batches/${id}`)).json, USERS)
  for (const replica of [stopped, other]) t.equal(await replica.end('SIGTERM'), 0)
})
