import type { Sql } from 'postgres'
import { sqlState, UNIQUE_VIOLATION } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import { poolIsReplica, requireWritable, writablePool } from '../pools/locks.ts'
import { type Filter, selects, userLine } from '../states/filter.ts'

/** What a request may change in a user. Omitted members stay. `custom_attributes` is a merge patch (RFC 7396). */
export interface UserChange {
  username?: string
  email?: string
  role?: string
  custom_attributes?: Record<string, unknown>
}

/** Thrown by every look-up that finds no user. */
export const userNotFound = () => new Problem('user_not_found', 'It may have been deleted, or be in another pool.')

/** Returns the line of one user. Throws `user_not_found`, also for a non-test user if only test users are visible. */
export async function readUserLine(sql: Sql, poolId: number, id: string, testUsersOnly: boolean): Promise<string> {
  const [row] = await sql<{ line: string }[]>`
    select ${userLine(sql, 'u')} as line from users u
    where u.pool_id = ${poolId} and u.id = ${id} ${testUsersOnly ? sql`and u.is_test_user` : sql``}`
  if (!row) throw userNotFound()
  return row.line
}

/** Returns the line of the user with exactly this name, if the filter selects it. */
export async function findUserLines(sql: Sql, filter: Filter, username: string): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    select ${userLine(sql, 'u')} as line from users u where ${selects(sql, filter, 'u')} and u.username = ${username}`
  return rows.map(({ line }) => line)
}

/**
 * Changes a test user and returns its line. The statement itself checks that it is a test user, so no other user is
 * ever changed. Throws `user_exists` if the new name or address is taken, `user_protected`, `user_not_found`,
 * `pool_is_replica`. The database rejects a line that becomes too long (error-responses.ts: `user_too_large`).
 */
export async function updateUser(sql: Sql, poolId: number, id: string, change: UserChange): Promise<string> {
  const { custom_attributes, ...texts } = change
  const columns = {
    ...texts,
    ...(custom_attributes && {
      custom_attributes: sql`merge_patch(u.custom_attributes, ${JSON.stringify(custom_attributes)}::jsonb)`,
    }),
  }
  try {
    const [row] = await sql<{ line: string }[]>`
      with u as (
        update users u set ${sql(columns as Record<string, string>)}
        where u.pool_id = ${writablePool(sql, poolId)} and u.id = ${id} and u.is_test_user
        returning u.*
      )
      select ${userLine(sql, 'u')} as line from u`
    return row?.line ?? (await refuse(sql, poolId, id))
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error
    throw new Problem('user_exists', 'The username or email is taken. Choose another one.', { cause: error })
  }
}

/** Deletes a test user. Throws `user_protected`, `user_not_found`, `pool_is_replica`. */
export async function deleteUser(sql: Sql, poolId: number, id: string): Promise<void> {
  const { count } = await sql`
    delete from users u where u.pool_id = ${writablePool(sql, poolId)} and u.id = ${id} and u.is_test_user`
  if (count === 0) await refuse(sql, poolId, id)
}

/** Throws the reason why a write found no test user with this id. */
async function refuse(sql: Sql, poolId: number, id: string): Promise<never> {
  await requireWritable(sql, poolId)
  const [row] = await sql<{ is_test_user: boolean }[]>`
    select u.is_test_user from users u where u.pool_id = ${poolId} and u.id = ${id}`
  if (!row) throw userNotFound()
  if (row.is_test_user) throw poolIsReplica() // it was one during the write, and was released since
  throw new Problem('user_protected', 'The service changes and deletes only test users.')
}
