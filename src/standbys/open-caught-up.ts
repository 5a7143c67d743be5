import type { ISql, Sql } from 'postgres'
import { openSnapshot, type Snapshot } from '../database/session.ts'
import { Problem } from '../errors.ts'
import { type Filter, isScope } from '../states/filter.ts'
import { lookUpScope, type PoolScopeState } from '../states/scope-state.ts'

/** The scope that a snapshot is for. */
export interface ScopeOfPool {
  pool: string
  filter: Omit<Filter, 'poolId'>
}

/**
 * Why a snapshot of a standby is not used.
 *
 * - behind: the standby has not replayed what the primary has committed. This passes.
 * - ahead: the primary does not show a commit that the standby has replayed. This passes too: PostgreSQL sends a commit to its
 *   standbys before it shows it, and with synchronous replication it waits for them.
 * - promoted: the server is not a standby. It accepts writes that the primary does not know.
 * - diverged: the scope has had another state at the primary. The standby follows another server, or the primary was restored.
 */
export type Lack = 'behind' | 'ahead' | 'promoted' | 'diverged'

/**
 * Opens a snapshot at a standby, if its scope has everything that `present`, read at the primary, has. Otherwise returns what
 * it lacks.
 *
 * Versions of a scope are numbered in commit order, so the version tells how far the standby is. The state tells whether both
 * servers have one history: it is a digest of all users, and the ids of users are random. So no log position, timeline or system
 * identifier is compared, and a standby of another server is found by what it would serve. A version that the primary did not
 * have a moment ago must be one that it shows now. Otherwise a client could receive a commit here and, at its next request, the
 * state before it from the primary.
 */
export async function openCaughtUp(
  standby: Sql,
  primary: Sql,
  { pool, filter }: ScopeOfPool,
  present: PoolScopeState,
): Promise<Snapshot | Lack> {
  const snapshot = await openSnapshot(standby)
  try {
    const [isReplaying, there] = await Promise.all([
      isStandby(snapshot.sql),
      lookUpScope(snapshot.sql, pool, filter).catch(absent),
    ])
    const atPrimary = (version: string) => stateAt(primary, { poolId: present.poolId, ...filter }, version)
    const lack = isReplaying ? await compare(there, present, atPrimary) : 'promoted'
    if (lack === undefined) return snapshot
    await snapshot.close()
    return lack
  } catch (error) {
    await snapshot.close()
    throw error
  }
}

/** A pool that the standby does not have yet. */
function absent(error: unknown): undefined {
  if (!(error instanceof Problem)) throw error
}

/** Returns what the scope lacks at the standby, `there`. `stateAt` returns the primary's state of a version that it shows. */
async function compare(
  there: PoolScopeState | undefined,
  present: PoolScopeState,
  stateAt: (version: string) => Promise<string | undefined>,
): Promise<Lack | undefined> {
  if (there?.poolId !== present.poolId || there.poolCreatedAt !== present.poolCreatedAt) return 'behind'
  const lead = BigInt(there.version) - BigInt(present.version)
  if (lead < 0n) return 'behind'
  const state = lead === 0n ? present.state : await stateAt(there.version)
  if (state === undefined) return 'ahead'
  return state === there.state ? undefined : 'diverged'
}

/** Whether the server replays the log of another one. */
export async function isStandby(sql: ISql): Promise<boolean> {
  const [row] = await sql<{ is_standby: boolean }[]>`select pg_is_in_recovery() as is_standby`
  return row?.is_standby ?? false
}

/** Returns the state that the scope had at a version; undefined if it never had the version, or no longer remembers it. */
export async function stateAt(sql: Sql, filter: Filter, version: string): Promise<string | undefined> {
  const [row] = await sql<{ state: string }[]>`
    select e.state from states e where ${isScope(sql, filter, 'e')} and e.version = ${version}`
  return row?.state
}
