import { ANY_BATCH } from '../src/states/filter.ts'
import type { Surroundings } from './bench-surroundings.ts'

/**
 * Gives every measurement the same start: all tables are empty, in new files as after the migration, and a checkpoint
 * does not write anything of the previous measurement during this one. (A deletion would leave dead rows, and a
 * tombstone for each.) The service and its connections stay, so all measurements are equally warm.
 */
export async function emptyTables({ sql, within }: Surroundings): Promise<void> {
  await within(60, 'emptying of the tables', async () => {
    await sql.begin(async (tx) => {
      await tx`set local lock_timeout = '10s'`
      await tx`alter table users disable trigger refuse_truncate`
      await tx`truncate users, tombstones, scopes, states, part_changes, credentials, failures, chunks, batches,
        lease_pools, lease_users, lease_returns, leases`
      await tx`alter table users enable always trigger refuse_truncate`
      await tx`delete from pools where name <> 'default'` // a section creates its pools with the same names again
      await tx`update pools set next_user_number = 1, next_credential_id = 1`
    })
    await sql`checkpoint`
  })
}

/** Throws unless the pool has `count` users, as counted by the capturing triggers. */
export async function expectUsers({ sql, within }: Surroundings, count: number): Promise<void> {
  const [scope] = await within(
    10,
    'count of the users',
    () => sql<{ user_count: string }[]>`
      select user_count from scopes
      where batch_id = ${ANY_BATCH} and not test_users_only and not bulk_users_only`,
  )
  if (Number(scope?.user_count) !== count) throw new Error(`there are ${scope?.user_count} users instead of ${count}`)
}
