import type { Sql } from 'postgres'

/**
 * Makes sure that PostgreSQL has room for the connections that this process may open. Throws an Error that names both
 * numbers, so that the service fails at its start, and not in the middle of its first busy hour.
 */
export async function checkConnectionBudget(sql: Sql, needed: number): Promise<void> {
  const [row] = await sql<{ available: number }[]>`
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true), '0')::int as available`
  const available = row?.available ?? 0
  if (needed <= available) return
  throw new Error(
    `it would open up to ${needed} database connections (DATABASE_CONNECTIONS + MAX_WORKERS + 8), and PostgreSQL allows ${available}`,
  )
}
