import { findPsql, psql } from './bench-psql.ts'
import type { Candidate } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import type { Pool } from './export-pools.ts'

/**
 * A candidate in which psql's COPY writes the lines of the pool's full export to /dev/null. Undefined if psql is not
 * installed.
 */
export async function copyCandidate(surroundings: Surroundings, { id, users }: Pool): Promise<Candidate | undefined> {
  if ((await findPsql()) === undefined) return undefined
  const columns = [
    ...['id', 'username', 'email', 'role', 'is_test_user', 'batch_id', 'created_by_bulk'],
    ...['custom_attributes', 'created_at', 'updated_at'],
  ].join(', ')
  const query = `select usersync.user_line(${columns}) from usersync.users where pool_id = ${id} and is_test_user order by id`
  return () => psql(surroundings, `\\copy (${query}) to '/dev/null'`, 60 + users / 5_000)
}
