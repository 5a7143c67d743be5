import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { beginBatch, untilEnded } from './client.ts'
import { checkExact } from './exact.ts'

const t = suite()

/*
 * A worker is cut off after it has created the users of a chunk, and before the chunk is marked as finished. Then its service stops.
 * This test fails if the chunk is marked in a separate transaction, before or after the insert.
 */

const USERS = 200
const CHUNKS = 4

t.test('another service completes the batch, with exactly its users', async (t) => {
  const url = await testDatabase()
  const settings = { DATABASE_URL: url, MAX_WORKERS: '1' }
  const sql = connect({ url, schema: 'usersync', connections: 4, name: 'test' })
  t.teardown(() => sql.end({ timeout: 5 }))
  const counts = async () => {
    const [row] = await sql`
      select (select count(*)::int from users) as users, (select count(*)::int from chunks where kind = 'users') as chunks`
    return row
  }
  const waiting = (event: string) => sql`
    select pid from pg_stat_activity
    where datname = current_database() and application_name = 'usersync worker' and wait_event = ${event}`

  let id = ''
  await t.test('the service that stops', async (t) => {
    const service = await startService(t, settings) // until the end of this subtest
    const table = await openTransaction(t, sql)
    await table`lock table users in share mode` // so that no chunk ends before its batch is locked
    id = await beginBatch(service.url, USERS, { chunk_size: USERS / CHUNKS })
    while ((await waiting('relation')).count === 0) await sleep(5)
    await sql.begin(async (batch) => {
      await batch`select from batches where id = ${id} for no key update` // a chunk ends with an update of this row
      await table.rollback()
      while ((await waiting('transactionid')).count === 0) await sleep(5)
      t.same(await counts(), { users: 0, chunks: CHUNKS })
      for (const { pid } of await waiting('transactionid')) await batch`select pg_terminate_backend(${pid})`
    })
  })
  const other = await startService(t, settings)
  await checkExact(t, url, await untilEnded(other.url, id), USERS)
})
