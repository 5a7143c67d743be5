import type { Fragment, ISql, Sql } from 'postgres'
import { arrayLiteral } from '../../database/array-literal.ts'
import { forceIndexScans } from '../../database/index-order.ts'
import type { Outcome } from '../kinds/kind.ts'
import { ClaimLost, inClaim, type Work } from './claim.ts'
import type { SinkName } from './due-users.ts'

/*
 * The record of what a target has is written before the target commits, as it is true afterwards, together with an announcement, which
 * says that the end is not known yet. When the target has committed, the announcement is deleted. So a user costs one write.
 *
 * An example. A batch creates A and B. Their rows and an announcement are written, the target commits, and the process is killed. The
 * next run finds the announcement and asks the target. It says `committed`: A and B are at the target, as their rows say. If it says
 * `aborted`, the rows become what they were before. In both cases A and B are due: they may have changed since.
 */

/** What is announced of the users of one batch. */
export interface Announcement {
  marker: string
  /** Users without a row in sink_users. */
  added: Outcome[]
  changed: Outcome[]
}

/**
 * The row of the user `o.user_id`, one look-up each: without statistics, a join reads all rows of the sink. A run is the only writer of
 * its rows, so that none moves meanwhile.
 */
const rowOf = (sql: ISql, { poolId, name }: SinkName): Fragment => sql`(
  select w.ctid from sink_users w
  where w.pool_id = ${poolId} and w.target = ${name} and w.user_id = o.user_id offset 0
) row`

const idsOf = (outcomes: Pick<Outcome, 'userId'>[]) => arrayLiteral(outcomes.map(({ userId }) => userId))
const externalsOf = (outcomes: Pick<Outcome, 'external'>[]) => arrayLiteral(outcomes.map(({ external }) => external))

/** Records what a delivery is about to make true at the target. Throws ClaimLost. */
export async function announce(sql: Sql, work: Work, { marker, added, changed }: Announcement): Promise<void> {
  const { poolId, target: name } = work.run
  await inClaim(sql, work, async (tx) => {
    const [addedIds, changedIds] = [idsOf(added), idsOf(changed)]
    await tx`
      insert into sink_announcements (pool_id, target, marker, user_ids)
      values (${poolId}, ${name}, ${marker}, ${addedIds}::uuid[] || ${changedIds}::uuid[])`
    if (added.length > 0) {
      await tx`
        insert into sink_users (pool_id, target, user_id, external, is_due)
        select ${poolId}, ${name}, o.user_id, o.external, false
        from unnest(${addedIds}::uuid[], ${externalsOf(added)}::text[]) o (user_id, external)`
    }
    if (changed.length > 0) {
      const { count } = await tx`
        update sink_users s set external = o.external, former = s.external, is_due = false,
          code = null, detail = null, tried_at = null
        from (
          select o.external, row.ctid
          from unnest(${changedIds}::uuid[], ${externalsOf(changed)}::text[]) o (user_id, external)
          cross join lateral ${rowOf(tx, { poolId, name })}
        ) o
        where s.ctid = o.ctid`
      if (count !== changed.length) throw new ClaimLost()
    }
  })
}

/** What became of a batch. */
interface Settlement {
  announcement: Announcement | undefined
  outcomes: Outcome[]
  /** Users that met a fault of the target, with what identifies them there. */
  failed: Pick<Outcome, 'userId' | 'external'>[]
}

/**
 * Records the outcomes of a batch: deletes its announcement, if there was one, and writes what differs from it. Users that the target
 * refused, or that met a fault, are still due. Throws ClaimLost: then the next claim finds the announcement.
 */
export async function settle(sql: Sql, work: Work, { announcement, outcomes, failed }: Settlement): Promise<void> {
  const { poolId, target: name } = work.run
  const announced = new Map(
    [...(announcement?.added ?? []), ...(announcement?.changed ?? [])].map(({ userId, external }) => [
      userId,
      external,
    ]),
  )
  const refused = outcomes.filter(({ refusal }) => refusal !== undefined)
  const done = outcomes.filter(({ refusal }) => refusal === undefined)
  const removed = done.filter(({ external }) => external === null)
  const other = done.filter(({ userId, external }) => external !== null && external !== announced.get(userId))
  await inClaim(sql, work, async (tx) => {
    if (announcement) {
      await tx`
        delete from sink_announcements where pool_id = ${poolId} and target = ${name} and marker = ${announcement.marker}`
    }
    if (removed.length > 0) {
      await tx`
        delete from sink_users
        where pool_id = ${poolId} and target = ${name} and user_id = any(${idsOf(removed)}::uuid[])`
    }
    if (other.length > 0) await recordExternals(tx, { poolId, name }, other)
    if (refused.length > 0) await recordRefusals(tx, { poolId, name }, refused)
    if (failed.length > 0) await recordExternals(tx, { poolId, name }, failed, tx`, is_due = true`)
  })
}

async function recordRefusals(tx: ISql, { poolId, name }: SinkName, refused: Outcome[]): Promise<void> {
  const codes = refused.map(({ refusal }) => refusal?.code ?? '')
  const details = refused.map(({ refusal }) => refusal?.detail ?? '')
  await tx`
    insert into sink_users as s (pool_id, target, user_id, external, is_due, code, detail, tried_at)
    select ${poolId}, ${name}, o.user_id, o.external, true, o.code, o.detail, now()
    from unnest(${idsOf(refused)}::uuid[], ${externalsOf(refused)}::text[], ${codes}::text[], ${details}::text[])
      o (user_id, external, code, detail)
    on conflict (pool_id, target, user_id) do update
    set external = excluded.external, is_due = true, code = excluded.code, detail = excluded.detail, tried_at = excluded.tried_at`
}

/** Records what identifies these users at the target. `alsoSet` continues the list of assignments. */
async function recordExternals(
  tx: ISql,
  { poolId, name }: SinkName,
  users: Settlement['failed'],
  alsoSet: Fragment = tx``,
): Promise<void> {
  await tx`
    update sink_users s set external = o.external ${alsoSet}
    from (
      select o.external, row.ctid
      from unnest(${idsOf(users)}::uuid[], ${externalsOf(users)}::text[]) o (user_id, external)
      cross join lateral ${rowOf(tx, { poolId, name })}
    ) o
    where s.ctid = o.ctid`
}

/** Returns the markers of the deliveries whose end is not known. */
export async function openMarkers(sql: Sql, { poolId, name }: SinkName): Promise<string[]> {
  const rows = await sql<{ marker: string }[]>`
    select marker from sink_announcements where pool_id = ${poolId} and target = ${name}`
  return rows.map(({ marker }) => marker)
}

/**
 * Records how a delivery ended that an earlier run announced, or one whose end this run has not seen. Its users are due: those of an
 * earlier run may have changed since. If the end is `unknown`, a creation or change counts as done, and a removal does not: that of a
 * user that is not there does no harm.
 */
export async function settleUnseen(
  sql: Sql,
  { poolId, name }: SinkName,
  marker: string,
  end: 'committed' | 'aborted' | 'unknown',
): Promise<void> {
  await sql.begin(async (tx) => {
    await forceIndexScans(tx)
    await tx`
      with ended as (
        delete from sink_announcements where pool_id = ${poolId} and target = ${name} and marker = ${marker}
        returning user_ids
      )
      update sink_users s set is_due = true, external = case ${end}
        when 'aborted' then s.former when 'committed' then s.external else coalesce(s.external, s.former) end
      from (
        select row.ctid from ended cross join unnest(ended.user_ids) o (user_id)
        cross join lateral ${rowOf(tx, { poolId, name })}
      ) o
      where s.ctid = o.ctid`
  })
}

/** Drops the rows of users that the target does not have and is not to have. Throws ClaimLost. */
export async function forgetUsers(sql: Sql, work: Work, ids: string[]): Promise<void> {
  const { poolId, target } = work.run
  await inClaim(sql, work, async (tx) => {
    await tx`
      delete from sink_users s
      where s.pool_id = ${poolId} and s.target = ${target} and s.user_id = any(${ids}::uuid[]) and s.external is null`
  })
}

/** Whether the target has users of ours, as far as we know. */
export async function holdsUsers(sql: ISql, { poolId, name }: SinkName): Promise<boolean> {
  const [row] = await sql<{ holds: boolean }[]>`
    select exists (
      select from sink_users s
      where s.pool_id = ${poolId} and s.target = ${name} and s.external is not null offset 0
    ) or exists (select from sink_announcements where pool_id = ${poolId} and target = ${name}) as holds`
  return row?.holds ?? false
}
