import type { Sql } from 'postgres'

interface Limit {
  name: string
  allowed: number
}

/**
 * Makes sure that PostgreSQL has room for the connections that this process may open, by each of its three limits. Throws an
 * Error that names the lowest and what to do, so that the service fails at its start, and not in its first busy hour. A
 * superuser has only the limit of the server.
 */
export async function checkConnectionBudget(sql: Sql, needed: number): Promise<void> {
  const [lowest] = await sql<Limit[]>`
    select name, allowed
    from pg_roles role
    join pg_database database on database.datname = current_database()
    cross join lateral (values
      ('max_connections', current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int),
      ('the CONNECTION LIMIT of the role ' || role.rolname,
        case when role.rolconnlimit >= 0 and not role.rolsuper then role.rolconnlimit end),
      ('the CONNECTION LIMIT of the database ' || database.datname,
        case when database.datconnlimit >= 0 and not role.rolsuper then database.datconnlimit end)
    ) limits (name, allowed)
    where role.rolname = session_user and allowed is not null
    order by allowed
    limit 1`
  if (!lowest || needed <= lowest.allowed) return
  throw new Error(
    `it would open up to ${needed} database connections (DATABASE_CONNECTIONS + MAX_WORKERS + 8), and PostgreSQL allows ${lowest.allowed} by ${lowest.name}: lower the settings or raise the limit`,
  )
}
