import type { Sql } from 'postgres'

/** A batch of this many changes what the planner should expect of the table. */
const MANY_USERS = 10_000

/**
 * Takes the table's statistics anew after a large batch (0.2 s): autovacuum comes by once a minute, and until then plans are
 * for an empty table.
 */
export async function refreshStatistics(sql: Sql, batchUsers: number): Promise<void> {
  if (batchUsers >= MANY_USERS) await sql`analyze users`
}
