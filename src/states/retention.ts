import type { FastifyBaseLogger } from 'fastify'
import type { Sql, TransactionSql } from 'postgres'
import { attemptEach } from '../database/attempt-each.ts'
import { type Repeating, repeatEvery } from '../process/repeat.ts'
import { ANY_BATCH } from './filter.ts'

/** How often a process prunes. */
const INTERVAL_MS = 60_000

/** Maximum number of steps for one pool in a round. The next round continues. */
const STEPS_A_POOL = 1_000

/**
 * Keeps the history for deltas for `seconds`, in all pools. At the start and once a minute it deletes older history in
 * small steps. A pruned state is reported as expired for another `seconds`; then it is deleted.
 */
export function startRetention(sql: Sql, seconds: number, log: FastifyBaseLogger): Repeating {
  async function pruneAll(signal: AbortSignal): Promise<void> {
    const pools = await sql<{ id: number }[]>`select id from pools order by id`
    await attemptEach(pools, ({ id }) => prunePool(id, signal))
  }

  async function prunePool(poolId: number, signal: AbortSignal): Promise<void> {
    let commits = 0
    let tombstones = 0
    for (let step = 0; step < STEPS_A_POOL && !signal.aborted; step++) {
      const pruned = await pruneStep(sql, poolId, seconds)
      const forgotten = await forgetStep(sql, poolId, seconds)
      if (pruned.commits === 0 && forgotten === 0) break
      commits += pruned.commits
      tombstones += pruned.tombstones
    }
    if (commits > 0) log.info({ pool: poolId, commits, tombstones }, 'pruned expired states')
  }

  return repeatEvery(
    (signal) => pruneAll(signal).catch((err) => log.warn({ err }, 'pruning failed, retrying')),
    INTERVAL_MS,
  )
}

/** Number of commits that one step reads, and number of tombstones after which it takes no further commit. */
const COMMITS_A_STEP = 100
const TOMBSTONES_A_STEP = 10_000

/** What one step deleted. */
export interface Pruned {
  commits: number
  tombstones: number
}

/**
 * Deletes the tombstones of the pool's oldest commits, those more than `seconds` old, and marks their states as pruned.
 * No delta can cross a pruned state, so every base before it is expired. Both happen in one transaction, so no reader
 * sees one without the other.
 *
 * The step reads commits in the order of the scope of all users, which every commit touches, and starts at the first
 * unpruned commit. So it always prunes the beginning of every scope's history, even if clocks jumped. A lock allows one
 * replica at a time: two at once could leave a gap. Returns zeros if another replica holds the lock, or if nothing is
 * left to prune.
 */
export async function pruneStep(sql: Sql, poolId: number, seconds: number): Promise<Pruned> {
  return await sql.begin(async (tx) => {
    const [lock] = await tx<{ taken: boolean }[]>`
      select pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' prune', ${poolId})) as taken`
    if (!lock?.taken) return { commits: 0, tombstones: 0 }
    const commitIds = await dueCommits(tx, poolId, seconds)
    if (commitIds.length === 0) return { commits: 0, tombstones: 0 }
    await markPruned(tx, poolId, commitIds)
    return { commits: commitIds.length, tombstones: await deleteTombstones(tx, poolId, commitIds) }
  })
}

/** Uses the database's clock, which all replicas share. */
const before = (sql: Sql | TransactionSql, seconds: number) => sql`now() - ${seconds}::float8 * interval '1 second'`

/** Returns the commits to prune next, oldest first. Stops after a commit with many tombstones, to keep the step small. */
async function dueCommits(sql: TransactionSql, poolId: number, seconds: number): Promise<string[]> {
  const ofAllUsers = sql`
    e.pool_id = ${poolId} and e.batch_id = ${ANY_BATCH} and not e.test_users_only and not e.bulk_users_only`
  const rows = await sql<{ commit_id: string }[]>`
    select w.commit_id
    from (
      select c.commit_id, c.version, bool_and(c.recorded_at < ${before(sql, seconds)}) over before_or_at as is_old,
        sum(t.tombstones) over before_or_at - t.tombstones as tombstones_before
      from (
        select e.commit_id, e.version, e.recorded_at from states e
        where ${ofAllUsers} and e.version > coalesce((
          select e.version from states e where ${ofAllUsers} and e.pruned_at is not null order by e.version desc limit 1), 0)
        order by e.version limit ${COMMITS_A_STEP}
      ) c
      cross join lateral (
        select count(*) as tombstones from tombstones t where t.pool_id = ${poolId} and t.left_commit_id = c.commit_id
      ) t
      window before_or_at as (order by c.version)
    ) w
    where w.is_old and w.tombstones_before <= ${TOMBSTONES_A_STEP} order by w.version`
  return rows.map(({ commit_id }) => commit_id)
}

async function markPruned(sql: TransactionSql, poolId: number, commitIds: string[]): Promise<void> {
  await sql`
    update states set pruned_at = now() where pool_id = ${poolId} and commit_id = any(${commitIds}::bigint[])`
}

async function deleteTombstones(sql: TransactionSql, poolId: number, commitIds: string[]): Promise<number> {
  const { count } = await sql`
    delete from tombstones where pool_id = ${poolId} and left_commit_id = any(${commitIds}::bigint[])`
  return count
}

/**
 * Deletes states that were pruned more than `seconds` ago, of at most 100 commits. Bases among them change from expired
 * to unknown. A state stays if nothing after it is pruned, because a delta can start from it. Returns how many states
 * it deleted.
 */
export async function forgetStep(sql: Sql, poolId: number, seconds: number): Promise<number> {
  const { count } = await sql`
    delete from states s
    using (
      select e.commit_id from states e
      where e.pool_id = ${poolId} and e.batch_id = ${ANY_BATCH} and not e.test_users_only and not e.bulk_users_only
        and e.pruned_at < ${before(sql, seconds)}
      order by e.version limit ${COMMITS_A_STEP}
    ) old
    where s.pool_id = ${poolId} and s.commit_id = old.commit_id and exists (
      select from states n
      where n.pool_id = s.pool_id and n.batch_id = s.batch_id and n.test_users_only = s.test_users_only
        and n.bulk_users_only = s.bulk_users_only and n.version > s.version and n.pruned_at < ${before(sql, seconds)}
    )`
  return count
}
