import type { Fragment, ISql, Sql } from 'postgres'
import { type Page, readPage } from '../../database/page.ts'
import { type Filter, selectsInPool } from '../../states/filter.ts'
import { type Outcome, UNSURE } from '../kinds/kind.ts'

/** A sink: the key of its rows in sink_users. */
export interface SinkName {
  poolId: number
  name: string
}

/** The claim of a run (sync-runs.ts). */
export interface Claim {
  claim: string
  poolId: number
  id: string
  target: string
}

/** Thrown if a run belongs to another claim now: nothing of this one may be committed anywhere. */
export class ClaimLost extends Error {
  override name = 'ClaimLost'

  constructor() {
    super('the run belongs to another claim')
  }
}

/**
 * Keeps the run with its claim, and the target with the settings that the run has read, until the transaction ends. So a changed
 * mapping never meets rows of the former one. Throws ClaimLost. Call it late: renewals and schedules wait for these locks.
 */
export async function requireClaim(tx: ISql, { poolId, id, claim, target }: Claim, updatedAt: string): Promise<void> {
  const { count } = await tx`
    select from sync_runs r join targets t on t.pool_id = r.pool_id and t.name = r.target
    where r.pool_id = ${poolId} and r.id = ${id} and r.status = 'running' and r.holder = ${claim}
      and t.name = ${target} and rfc3339(t.updated_at) = ${updatedAt}
    for share of r for no key update of t`
  if (count === 0) throw new ClaimLost()
}

/** Whether the user of a row `s` of sink_users is to be at the target: it is in the filter, and the run does not clear the sink. */
export function isWanted(sql: ISql, filter: Omit<Filter, 'poolId'>, clear: boolean): Fragment {
  if (clear) return sql`false`
  return sql`exists (
    select from users u where u.pool_id = s.pool_id and u.id = s.user_id ${selectsInPool(sql, filter, 'u')} offset 0
  )`
}

/** Which due users of a sink a page has: those to remove, or those to create and change. */
export interface DueSelection {
  filter: Omit<Filter, 'poolId'>
  clear: boolean
  /** Whether the page has the users to remove, or those to create and change. */
  removals: boolean
  /** The id before the page. */
  after: string
  limit: number
}

/** A user of which the target may differ from the planned state. */
export interface DueUser {
  user_id: string
  external: string | null
}

/** Returns the due users after an id, in the order of ids. */
export async function dueUsers(
  sql: ISql,
  { poolId, name }: SinkName,
  { filter, clear, removals, after, limit }: DueSelection,
): Promise<DueUser[]> {
  const wanted = isWanted(sql, filter, clear)
  return await sql<DueUser[]>`
    select s.user_id, s.external from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.is_due and s.user_id > ${after}
      and ${removals ? sql`not ${wanted}` : wanted}
    order by s.user_id limit ${limit}`
}

/** Returns those of the users that are still due. */
export async function stillDue(sql: ISql, { poolId, name }: SinkName, ids: string[]): Promise<DueUser[]> {
  return await sql<DueUser[]>`
    select s.user_id, s.external from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.user_id = any(${ids}::uuid[]) and s.is_due
    order by s.user_id`
}

/**
 * The row of the user `o.user_id`, one look-up each: without statistics, a join reads all rows of the sink. A run is the only writer of
 * its rows, so that none moves meanwhile.
 */
const rowOf = (sql: ISql, { poolId, name }: SinkName): Fragment => sql`(
  select w.ctid from sink_users w
  where w.pool_id = ${poolId} and w.target = ${name} and w.user_id = o.user_id offset 0
) row`

/** A run's claim, and when the settings that it works with were set. */
export interface Work {
  run: Claim
  updatedAt: string
}

/**
 * Records what the target's transaction `marker` is about to make true. Throws ClaimLost if the run or a row is not ours any more.
 */
export async function announceOutcomes(
  sql: Sql,
  { run, updatedAt }: Work,
  marker: string,
  outcomes: Outcome[],
): Promise<void> {
  const ids = outcomes.map(({ userId }) => userId)
  const externals = outcomes.map(({ external }) => external)
  await sql.begin(async (tx) => {
    await requireClaim(tx, run, updatedAt)
    const { count } = await tx`
      update sink_users s set marker = ${marker}, next_external = o.external
      from (
        select o.external, row.ctid from unnest(${ids}::uuid[], ${externals}::text[]) o (user_id, external)
        cross join lateral ${rowOf(tx, { poolId: run.poolId, name: run.target })}
      ) o
      where s.ctid = o.ctid and s.marker is null`
    if (count !== outcomes.length) throw new ClaimLost()
  })
}

/** Returns the target's transactions whose end is not known. */
export async function openMarkers(sql: Sql, { poolId, name }: SinkName): Promise<string[]> {
  const rows = await sql<{ marker: string }[]>`
    select distinct s.marker from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.marker is not null`
  return rows.map(({ marker }) => marker)
}

/** Records that the target has committed what this run announced for these users. */
export async function settleCommitted(
  sql: Sql,
  { poolId, name }: SinkName,
  marker: string,
  outcomes: Outcome[],
): Promise<void> {
  const removed = outcomes.filter(({ external }) => external === null).map(({ userId }) => userId)
  const held = outcomes.filter(({ external }) => external !== null)
  const ids = held.map(({ userId }) => userId)
  const externals = held.map(({ external }) => external)
  await sql.begin(async (tx) => {
    if (removed.length > 0) {
      await tx`
        delete from sink_users s
        where s.pool_id = ${poolId} and s.target = ${name} and s.user_id = any(${removed}::uuid[]) and s.marker = ${marker}`
    }
    await tx`
      update sink_users s set external = o.external, next_external = null, marker = null,
        is_due = false, code = null, detail = null, tried_at = now()
      from (
        select o.external, row.ctid from unnest(${ids}::uuid[], ${externals}::text[]) o (user_id, external)
        cross join lateral ${rowOf(tx, { poolId, name })}
      ) o
      where s.ctid = o.ctid and s.marker = ${marker}`
  })
}

/**
 * Records how a transaction ended that an earlier run announced, or one whose end this run has not seen. Its users stay due: those of an
 * earlier run may have changed since, and this run's plan found them due already.
 */
export async function settleUnseen(
  sql: Sql,
  { poolId, name }: SinkName,
  marker: string,
  end: 'committed' | 'aborted' | 'unknown',
): Promise<void> {
  await sql`
    update sink_users s set external = case when ${end === 'aborted'} then s.external else s.next_external end,
      next_external = null, marker = null
    where s.pool_id = ${poolId} and s.target = ${name} and s.marker = ${marker}`
}

/** Records which users the target refused, and what it has of them. They stay due, for the next run. */
export async function recordRefusals(sql: Sql, { poolId, name }: SinkName, outcomes: Outcome[]): Promise<void> {
  const ids = outcomes.map(({ userId }) => userId)
  const externals = outcomes.map(({ external }) => external)
  const codes = outcomes.map(({ refusal }) => refusal?.code ?? '')
  const details = outcomes.map(({ refusal }) => refusal?.detail ?? '')
  await sql`
    update sink_users s set external = o.external, next_external = null, marker = null,
      code = o.code, detail = o.detail, tried_at = now()
    from (
      select o.external, o.code, o.detail, row.ctid
      from unnest(${ids}::uuid[], ${externals}::text[], ${codes}::text[], ${details}::text[])
        o (user_id, external, code, detail)
      cross join lateral ${rowOf(sql, { poolId, name })}
    ) o
    where s.ctid = o.ctid and s.is_due`
}

/** Drops the rows of users that the target does not have and is not to have. */
export async function forgetUsers(sql: Sql, { poolId, name }: SinkName, ids: string[]): Promise<void> {
  await sql`
    delete from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.user_id = any(${ids}::uuid[])
      and s.external is null and s.marker is null`
}

/**
 * Whether the target may differ from the planned state. Reads in the order of the index of due users: without that, statistics from the
 * middle of a large run, when all users were due, lead to a scan of the table.
 */
export async function hasDueUsers(sql: Sql, { poolId, name }: SinkName): Promise<boolean> {
  const { count } = await sql`
    select s.user_id from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.is_due order by s.user_id limit 1`
  return count > 0
}

/** Whether the target has users of ours, as far as we know. */
export async function holdsUsers(sql: ISql, { poolId, name }: SinkName): Promise<boolean> {
  const [row] = await sql<{ holds: boolean }[]>`
    select exists (
      select from sink_users s
      where s.pool_id = ${poolId} and s.target = ${name} and (s.external is not null or s.marker is not null) offset 0
    ) as holds`
  return row?.holds ?? false
}

/** A user that the target refused, in API responses. */
export interface SinkFailure {
  user_id: string
  /** Null if the user was deleted here. */
  username: string | null
  operation: 'create' | 'update' | 'delete'
  code: string
  detail: string
  tried_at: string
}

/** Returns one page of the users that a target refused, by id: those after `after`. */
export async function listFailures(
  sql: Sql,
  { poolId, name, after, limit }: SinkName & { after: string; limit: number },
): Promise<Page<SinkFailure>> {
  return await readPage(
    sql,
    limit,
    (sql, rows) => sql<SinkFailure[]>`
      select s.user_id, u.username, s.code, s.detail, rfc3339(s.tried_at) as tried_at,
        case when u.username is null then 'delete'
          when s.external is null or s.external = ${UNSURE} then 'create' else 'update' end as operation
      from sink_users s
      left join lateral (
        select u.username from users u where u.pool_id = s.pool_id and u.id = s.user_id offset 0
      ) u on true
      where s.pool_id = ${poolId} and s.target = ${name} and s.code is not null and s.user_id > ${after}
      order by s.user_id limit ${rows}`,
  )
}

/** Returns how many users the target refused. */
export async function countFailures(sql: Sql, { poolId, name }: SinkName): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from sink_users s
    where s.pool_id = ${poolId} and s.target = ${name} and s.code is not null`
  return row?.count ?? 0
}
