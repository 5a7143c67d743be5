import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { connect } from '../../src/database/connection.ts'
import { stateFromScratch } from '../export/observe.ts'

/** Checks that the batch has created exactly `count` users, none twice, and that its state is that of the rows. */
export async function checkExact(t: Test, databaseUrl: string, batch: Batch, count: number): Promise<void> {
  t.match(batch, { status: 'completed', created_count: count, failed_count: 0, progress: 1 })
  const sql = connect({ url: databaseUrl, schema: 'usersync', connections: 1, name: 'test' })
  try {
    const [row] = await sql`
      select count(*)::int as users, count(distinct username)::int as names,
        (select count(*)::int from chunks where batch_id = ${batch.id}) as open_chunks,
        (select count(*)::int from part_changes) as pending
      from users where batch_id = ${batch.id}`
    t.same(row, { users: count, names: count, open_chunks: 0, pending: 0 })
    const filter = { batchId: batch.id, testUsersOnly: true, bulkUsersOnly: false }
    t.equal(batch.state, await stateFromScratch(sql, 1, filter), 'the stored state is that of the rows')
  } finally {
    await sql.end({ timeout: 5 })
  }
}
