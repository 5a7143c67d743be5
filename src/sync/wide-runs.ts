import type { Sql } from 'postgres'
import type { SyncRun } from './sync-runs.ts'

/**
 * Runs as a key without `admin` may see them: without the states of targets with `test_users_only: false`, which users that are
 * not test users are part of.
 */
export async function withoutWideStates(sql: Sql, poolId: number, runs: SyncRun[]): Promise<SyncRun[]> {
  const wide = await sql<{ name: string }[]>`
    select name from targets where pool_id = ${poolId} and not test_users_only`
  const names = new Set(wide.map(({ name }) => name))
  return runs.map((run) => (names.has(run.target) ? { ...run, base: null, state: null } : run))
}
