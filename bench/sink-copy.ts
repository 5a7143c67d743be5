import { join } from 'node:path'
import { findPsql, psql } from './bench-psql.ts'
import type { Candidate } from './bench-rounds.ts'
import type { Surroundings } from './bench-surroundings.ts'
import type { System } from './sink-system.ts'

/** The columns that the preset django fills. */
const COLUMNS = 'username, email, password, first_name, last_name, is_staff, is_superuser, is_active, date_joined'

const SECONDS = 120

/**
 * A candidate that copies the users which the system has now into its emptied table, with one psql `\copy`. Undefined if psql is not
 * installed.
 */
export async function copyInto(surroundings: Surroundings, system: System): Promise<Candidate | undefined> {
  if ((await findPsql()) === undefined) return undefined
  const there = { ...surroundings, databaseUrl: system.url }
  const file = join(surroundings.folder, 'auth_user.copy')
  await psql(there, `\\copy (select ${COLUMNS} from auth_user order by id) to '${file}'`, SECONDS)
  return async () => {
    await system.empty()
    return await psql(there, `\\copy auth_user (${COLUMNS}) from '${file}'`, SECONDS)
  }
}
