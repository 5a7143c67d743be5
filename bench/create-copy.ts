import { join } from 'node:path'
import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import { findPsql, psql } from './bench-psql.ts'
import type { Candidate } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { deadlineFor, makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { speed } from './create-speed.ts'
import { count } from './report-table.ts'

/** The columns that a batch writes. The triggers set the two stamps. */
const COLUMNS = [
  ...['pool_id', 'id', 'username', 'email', 'role', 'is_test_user', 'batch_id', 'created_by_bulk'],
  ...['custom_attributes', 'created_at', 'updated_at', 'credential_id'],
].join(', ')

/**
 * A candidate that inserts exactly the users of a batch of `users` with these settings, with one psql `\copy` on one connection. The batch
 * is created now, and its users are written to a file. Undefined if psql is not installed.
 */
export async function copyCandidate(
  surroundings: Surroundings,
  users: number,
  config: BatchConfigBody = {},
): Promise<Candidate | undefined> {
  if ((await findPsql()) === undefined) return undefined
  surroundings.progress(`${count(users)} users: creating the rows for psql`)
  await emptyTables(surroundings)
  await makeBatch(surroundings, users, config)
  const file = join(surroundings.folder, `${users}.copy`)
  const query = `select ${COLUMNS} from usersync.users order by id`
  await psql(surroundings, `\\copy (${query}) to '${file}'`, deadlineFor(users))

  const command = `\\copy usersync.users (${COLUMNS}) from '${file}'`
  return speed(surroundings, users, () => psql(surroundings, command, deadlineFor(users)))
}
