import type { ISql } from 'postgres'

/** A batch of this many changes what the planner should expect of the table. */
const MANY_USERS = 10_000

/**
 * Takes the table's statistics anew after a large batch (0.2 s): autovacuum comes by once a minute, and until then plans are
 * for an empty table. They are a help and no part of the work, which is done: where a VACUUM or the like holds the table they are
 * left to it, and nothing is thrown.
 */
export async function refreshStatistics(sql: ISql, batchUsers: number): Promise<void> {
  if (batchUsers >= MANY_USERS) await sql`analyze (skip_locked) users, credentials`.catch(() => {})
}
