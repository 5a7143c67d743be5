import type { ISql } from 'postgres'

/** From this size on a batch changes what the planner should expect of the table. */
const MANY_USERS = 10_000

/**
 * Updates the tables' statistics after a large batch (0.2 s): autovacuum runs once a minute, and until then plans are for an
 * empty table. Never throws, and skips a table that VACUUM or the like has locked.
 */
export async function refreshStatistics(sql: ISql, batchUsers: number): Promise<void> {
  if (batchUsers >= MANY_USERS) await sql`analyze (skip_locked) users, credentials`.catch(() => {})
}
