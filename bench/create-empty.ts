import { ANY_BATCH } from '../src/states/filter.ts'
import type { Surroundings } from './bench-surroundings.ts'

/**
 * Gives every measurement the same start: all tables empty, in new files as after the migration, and nothing of the
 * measurement before left to be written by a checkpoint in the middle of this one. (A deletion would leave dead rows,
 * and a tombstone for each.) Service and connections stay, so all are as warm as each other.
 */
export async function emptyTables({ sql, within }: Surroundings): Promise<void> {
  await within(60, 'emptying of the tables', async () => {
    await sql.begin(async (tx) => {
      await tx`set local lock_timeout = '10s'`
      await tx`alter table users disable trigger refuse_truncate`
      await tx`truncate users, tombstones, scopes, states, part_changes, credentials, failures, chunks, batches`
      await tx`alter table users enable always trigger refuse_truncate`
      await tx`delete from pools where name <> 'default'` // a section makes its pools by the same names again
      await tx`update pools set next_user_number = 1, next_credential_id = 1`
    })
    await sql`checkpoint`
  })
}

/** Throws unless the pool holds `count` users, as the capturing triggers have counted them. */
export async function expectUsers({ sql, within }: Surroundings, count: number): Promise<void> {
  const [scope] = await within(
    10,
    'count of the users',
    () => sql<{ user_count: string }[]>`
      select user_count from scopes
      where batch_id = ${ANY_BATCH} and not test_users_only and not bulk_users_only`,
  )
  if (Number(scope?.user_count) !== count) throw new Error(`${scope?.user_count} users are there instead of ${count}`)
}
