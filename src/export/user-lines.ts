import type { Sql } from 'postgres'
import type { Credential } from '../protocol/user-line.ts'
import type { Filter } from '../states/filter.ts'
import { isSelectedInPool, jsonLine, type LineRow, withCredentials } from './lines.ts'

interface UserLines {
  filter: Filter
  credentials: Credential[]
  encryptionKey: Buffer
}

/**
 * Returns the lines of these users as an export with the credentials writes them, without those that the filter does not select. One
 * look-up per user, whatever the statistics say.
 */
export async function readUserLines(
  sql: Sql,
  { filter, credentials, encryptionKey }: UserLines,
  ids: string[],
): Promise<string[]> {
  const form = withCredentials(jsonLine, credentials, encryptionKey)
  const isSelected = isSelectedInPool(sql, { filter, shard: undefined, form }, 'u')
  const rows = await sql<LineRow[]>`
    select ${form.columns(sql)}
    from unnest(${ids}::uuid[]) wanted (id)
    cross join lateral (
      select * from users u where u.pool_id = ${filter.poolId} and u.id = wanted.id ${isSelected} offset 0
    ) u ${form.joins(sql)}`
  return rows.map(form.text)
}
