import type { ISql, PendingQuery, Row } from 'postgres'

/**
 * Sets settings for the rest of the transaction, in one round trip. Citus passes SET LOCAL on to its workers, but not
 * `set_config`. Names and values are constants of the code: the statement is sent as text.
 */
export function setLocal(sql: ISql, settings: Record<string, string>): PendingQuery<Row[]> {
  return sql.unsafe(
    Object.entries(settings)
      .map(([name, value]) => `set local ${name} to '${value}'`)
      .join('; '),
  )
}
