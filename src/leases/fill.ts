import type { Fragment, ISql, Sql, TransactionSql } from 'postgres'
import { LAST_ID } from '../database/id-bounds.ts'
import { setLocal } from '../database/set-local.ts'
import { ANY_BATCH } from '../states/filter.ts'
import type { EndObserver } from './end-leases.ts'
import { isUnreturned } from './lease-users.ts'
import { endEmptied } from './return-users.ts'

/*
 * `lease_users` has a row for each test user of a pool, but nobody who creates or deletes users writes it: it follows the change log of
 * the state capture. The first lease of a pool scans the pool's users, newest first; after that each commit that changed test users is
 * read once, in the order of the versions of the scope. That order is the order of commits, so none is missed.
 */

/** Users that one step of the scan adds, about 0.2 s. */
const USERS_A_STEP = 10_000

/** Commits that one step reads. A commit of bulk creation has up to 50,000 users. */
const COMMITS_A_STEP = 4

/** A commit of plain SQL may have millions of users, 20 s for each million. Nothing waits for it but other steps. */
const STATEMENT_TIMEOUT = '300s'

/** The scope of all test users of a pool, as a condition on rows of `scopes` or `states`. */
const ofTestUsers = (sql: ISql, poolId: number, alias: 's' | 'e') => sql`
  ${sql(alias)}.pool_id = ${poolId} and ${sql(alias)}.batch_id = ${ANY_BATCH} and ${sql(alias)}.test_users_only
  and not ${sql(alias)}.bulk_users_only`

/** Whether every change of the test users of `poolId` is in `lease_users`, as of the snapshot. Null if no user was ever leased. */
export const inStep = (sql: ISql, poolId: Fragment): Fragment => sql`
  select p.scan_before is null and p.version >= coalesce((
    select s.version from scopes s
    where s.pool_id = p.pool_id and s.batch_id = ${ANY_BATCH} and s.test_users_only and not s.bulk_users_only), 0) as is_in_step
  from lease_pools p where p.pool_id = ${poolId}`

/** Returns whether every change of the pool's test users is in `lease_users`. False also if no user was ever leased. */
export async function isInStep(sql: Sql, poolId: number): Promise<boolean> {
  const [row] = await sql<{ is_in_step: boolean }[]>`
    select * from (${inStep(sql, sql`${poolId}`)}) p`
  return row?.is_in_step ?? false
}

/**
 * Brings the next users or commits into `lease_users`, in one transaction. Returns whether there was something to do. Other callers
 * wait for the step in progress, and do the next one. Also ends leases that have lost their last user.
 */
export async function fillStep(sql: Sql, poolId: number, observer: EndObserver): Promise<boolean> {
  const lost: string[] = []
  const hasChanged = await sql.begin(async (tx) => {
    await setLocal(tx, { statement_timeout: STATEMENT_TIMEOUT })
    await beginScan(tx, poolId)
    const [progress] = await tx<{ version: string; scan_before: string | null; is_forgotten: boolean }[]>`
      select version, scan_before, exists (
        select from states e where ${ofTestUsers(tx, poolId, 'e')} and e.version > p.version and e.pruned_at is not null
      ) as is_forgotten
      from lease_pools p where pool_id = ${poolId} for update`
    if (!progress) return false
    if (progress.is_forgotten) {
      lost.push(...(await scanAgain(tx, poolId)))
      return true
    }
    const { version, scan_before: before } = progress
    if (before !== null) return await scanUsers(tx, poolId, before)
    const commitIds = await followCommits(tx, poolId, version)
    if (commitIds.length > 0) lost.push(...(await removeUsers(tx, poolId, ofCommits(tx, poolId, commitIds))))
    return commitIds.length > 0
  })
  if (lost.length > 0) observer.leasesEnded('returned', await endEmptied(sql, poolId, lost))
  return hasChanged
}

/** Remembers the present version: what is committed later is read as a commit. */
async function beginScan(tx: TransactionSql, poolId: number): Promise<void> {
  await tx`
    insert into lease_pools (pool_id, version, scan_before)
    select p.id, coalesce((select s.version from scopes s where ${ofTestUsers(tx, poolId, 's')}), 0), ${LAST_ID}
    from pools p where p.id = ${poolId} and not exists (select from lease_pools l where l.pool_id = ${poolId})
    on conflict do nothing`
}

/**
 * For a pool whose commits are no longer in the log, because no service ran for longer than BASE_RETENTION. Returns what `removeUsers`
 * returns.
 */
async function scanAgain(tx: TransactionSql, poolId: number): Promise<string[]> {
  await tx`
    update lease_pools set scan_before = ${LAST_ID}, version = (
      select s.version from scopes s where ${ofTestUsers(tx, poolId, 's')})
    where pool_id = ${poolId}`
  return await removeUsers(tx, poolId, tx`true`)
}

async function scanUsers(tx: TransactionSql, poolId: number, before: string): Promise<boolean> {
  await tx`
    with page as materialized (
      select u.pool_id, u.id, u.batch_id from users u
      where u.pool_id = ${poolId} and u.id < ${before} and u.is_test_user
      order by u.id desc limit ${USERS_A_STEP}
    ), added as (${addUsers(tx, tx`select * from page order by id`)})
    update lease_pools set scan_before = (
      select case when count(*) = ${USERS_A_STEP} then (array_agg(id order by id))[1] end from page
    )
    where pool_id = ${poolId}`
  return true
}

/** Adds the users of the next commits. Returns these commits. */
async function followCommits(tx: TransactionSql, poolId: number, version: string): Promise<string[]> {
  const commits = await tx<{ version: string; commit_id: string }[]>`
    select e.version, e.commit_id from states e where ${ofTestUsers(tx, poolId, 'e')} and e.version > ${version}
    order by e.version limit ${COMMITS_A_STEP}`
  const last = commits.at(-1)
  if (!last) return []
  const commitIds = commits.map(({ commit_id }) => commit_id)
  await tx`
    with changed as materialized (
      select u.pool_id, u.id, u.batch_id
      from unnest(${commitIds}::bigint[]) c (id)
      cross join lateral (
        select * from users u where u.pool_id = ${poolId} and u.commit_id = c.id and u.is_test_user offset 0
      ) u
    ), added as (${addUsers(tx, tx`select * from changed order by id`)})
    update lease_pools set version = ${last.version} where pool_id = ${poolId}`
  return commitIds
}

/**
 * Adds the users of a query, and corrects the batch of those that moved. A user that was deleted and is back is free; if a lease
 * that is alive still has it, it is still leased. The lock on that lease waits for an end in progress, which would miss the user.
 */
const addUsers = (sql: ISql, users: Fragment): Fragment => sql`
  insert into lease_users as l (pool_id, user_id, batch_id, draw, status)
  select u.pool_id, u.id, u.batch_id, (random() * 4294967295 - 2147483648)::int,
    case when kept.lease_id is null then 'free' else 'leased' end
  from (${users}) u
  left join lateral (
    select x.id as lease_id from lease_users g
    cross join lateral (
      select x.id from leases x
      where x.pool_id = g.pool_id and x.id = g.lease_id and x.ended_at is null and ${isUnreturned(sql)} for update offset 0
    ) x
    where g.pool_id = u.pool_id and g.user_id = u.id and g.status = 'gone' offset 0
  ) kept on true
  on conflict (pool_id, user_id) do update set batch_id = excluded.batch_id,
    status = case when l.status = 'gone' then excluded.status else l.status end
  where l.status = 'gone' or l.batch_id is distinct from excluded.batch_id`

/** Whether one of these commits deleted the user of a row `l`, or made it other than a test user. */
const ofCommits = (sql: ISql, poolId: number, commitIds: string[]): Fragment => sql`l.user_id = any(array(
  select t.user_id from tombstones t where t.pool_id = ${poolId} and t.left_commit_id = any(${commitIds}::bigint[])
))`

/**
 * Marks those of the users that are gone. They wait for no reset. If no lease of a user is remembered, it has no journal to keep. Returns
 * the last leases of those that are gone now.
 */
async function removeUsers(tx: TransactionSql, poolId: number, isAmong: Fragment): Promise<string[]> {
  const isGone = tx`
    l.pool_id = ${poolId} and ${isAmong} and not exists (
      select from users u where u.pool_id = l.pool_id and u.id = l.user_id and u.is_test_user offset 0
    )`
  await tx`delete from lease_users l where ${isGone} and l.uses = 0`
  const gone = await tx<{ lease_id: string }[]>`
    update lease_users l set status = 'gone' where ${isGone} and l.status <> 'gone' returning l.lease_id`
  // A statement of its own: it sees a lease that was granted while the update waited for the lock.
  await tx`
    delete from lease_users l where ${isGone} and l.status = 'gone' and not exists (
      select from leases x where x.pool_id = l.pool_id and x.id = l.lease_id offset 0
    )`
  await tx`delete from lease_resets l where ${isGone}`
  return [...new Set(gone.map(({ lease_id }) => lease_id))]
}
