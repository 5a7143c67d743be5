import type { Fragment, ISql } from 'postgres'
import type { Mirrors } from '../pools/pools.ts'
import type { ExportHead } from '../protocol/read-export.ts'
import { userLine } from '../states/filter.ts'

/** The numbers of users that the export really changed. */
export interface Counts {
  added: number
  updated: number
  deleted: number
}

/**
 * Changes the pool's users to match the staged tables, and makes the triggers record the states now, not at the commit. A user that
 * differs is deleted and inserted again, all deletions first: an update would change `updated_at`, and two users that swapped
 * names would conflict. Users that match are not touched.
 */
export async function applyStaged(tx: ISql, poolId: number, head: ExportHead, mirrors: Mirrors): Promise<Counts> {
  const ids = head.kind === 'full' ? notInExport(tx, poolId) : inDelta(tx, poolId)
  const removed = await deleteUsers(tx, poolId, ids, mirrors)
  const inserted = await insertUsers(tx, poolId)
  await tx`set constraints all immediate`
  return { added: inserted - removed.again, updated: removed.again, deleted: removed.all - removed.again }
}

/** A full export: ids of users who are not in it, or not as they are. It reads the pool once. */
const notInExport = (tx: ISql, poolId: number): Fragment => tx`
  select u.id from users u left join staged_users s on s.id = u.id
  where u.pool_id = ${poolId} and (s.id is null or ${userLine(tx, 'u')} <> ${userLine(tx, 's')})`

/**
 * Delta: ids of users that it deletes, or that differ. `lateral … offset 0` forces index look-ups whatever the planner's statistics,
 * so the cost depends on the size of the delta, not of the pool.
 */
const inDelta = (tx: ISql, poolId: number): Fragment => tx`
  select d.id from staged_deletions d
  union
  select s.id from staged_users s
  cross join lateral (
    select ${userLine(tx, 'u')} as line from users u where u.pool_id = ${poolId} and u.id = s.id offset 0
  ) u
  where u.line <> ${userLine(tx, 's')}`

/** Deletes the users with these ids that belong to the replica. Returns how many, and how many of them will be inserted again. */
async function deleteUsers(
  tx: ISql,
  poolId: number,
  ids: Fragment,
  mirrors: Mirrors,
): Promise<{ all: number; again: number }> {
  const isMirrored = mirrors === 'everything' ? tx`true` : tx`u.is_test_user`
  const [row] = await tx<{ all: number; again: number }[]>`
    with removed as (
      delete from users u where u.pool_id = ${poolId} and u.id = any(array(${ids})) and ${isMirrored} returning u.id
    )
    select count(*)::float8 as "all", count(s.id)::float8 as again from removed r left join staged_users s on s.id = r.id`
  return row ?? { all: 0, again: 0 }
}

/** Inserts the staged users that do not exist yet. Looks each up by its key, whatever the planner's statistics. */
async function insertUsers(tx: ISql, poolId: number): Promise<number> {
  const { count } = await tx`
    insert into users (pool_id, id, username, email, role, is_test_user, batch_id, created_by_bulk, custom_attributes,
      created_at, updated_at)
    select ${poolId}, s.* from staged_users s
    where (select u.id from users u where u.pool_id = ${poolId} and u.id = s.id) is null
    order by s.id`
  return count
}
