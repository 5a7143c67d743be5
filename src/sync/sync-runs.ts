import { randomUUID } from 'node:crypto'
import type { Fragment, ISql, Sql } from 'postgres'
import type { PeerFault } from '../client/peer.ts'
import { type Page, readPage } from '../database/page.ts'
import { FOREIGN_KEY_VIOLATION, sqlState } from '../database/sqlstate.ts'
import { Problem } from '../errors.ts'
import type { CanaryResult } from './canary/run-canary.ts'
import { targetNotFound } from './targets.ts'

/**
 * Why a run did not bring its target in sync: a fault of the peer, or `integrity` (the users that arrived do not match their
 * state), `conflict` (another source writes there), `deadline` (of all attempts together), `users_refused` (a sink refuses single
 * users), `canary_failed` (users could not log in afterwards), `internal` (an internal error).
 */
export type RunFailure =
  | PeerFault
  | 'integrity'
  | 'conflict'
  | 'deadline'
  | 'users_refused'
  | 'canary_failed'
  | 'internal'

/** A run in API responses. */
export interface SyncRun {
  id: string
  target: string
  trigger: 'request' | 'interval'
  full: boolean
  /** Whether the run removes all users from a sink. */
  clear: boolean
  status: 'queued' | 'running' | 'succeeded' | 'failed'
  kind: 'unchanged' | 'delta' | 'full' | null
  base: string | null
  state: string | null
  added_count: number
  updated_count: number
  deleted_count: number
  sent_count: number
  sent_bytes: number
  attempts: number
  failure: RunFailure | null
  detail: string | null
  canary: CanaryResult | null
  created_at: string
  started_at: string | null
  finished_at: string | null
  duration_ms: number | null
}

/** The outcome of a run. */
export type Outcome = Pick<
  SyncRun,
  'kind' | 'base' | 'state' | 'sent_bytes' | 'attempts' | 'failure' | 'detail' | 'canary'
> &
  Pick<SyncRun, 'added_count' | 'updated_count' | 'deleted_count' | 'sent_count'>

/** A run in progress. */
export interface ClaimedRun {
  /** The id of this claim. A run that is claimed again gets a new one, even by the same process. */
  claim: string
  poolId: number
  id: string
  target: string
  full: boolean
  clear: boolean
}

/** Targets of one pool. */
export interface TargetNames {
  poolId: number
  names: string[]
}

/** The columns of a row `r` of sync_runs, as they are answered. */
function runColumns(sql: ISql): Fragment {
  return sql`r.id, r.target, r.trigger, r."full", r.clear, r.status, r.kind, r.base, r.state, r.added_count::float8,
    r.updated_count::float8, r.deleted_count::float8, r.sent_count::float8, r.sent_bytes::float8, r.attempts, r.failure, r.detail, r.canary,
    rfc3339(r.created_at) as created_at, rfc3339(r.started_at) as started_at, rfc3339(r.finished_at) as finished_at,
    (extract(epoch from r.finished_at - r.started_at) * 1000)::float8 as duration_ms`
}

/** Returns the run with this id. Throws `sync_run_not_found`. */
export async function readRun(sql: ISql, poolId: number, id: string): Promise<SyncRun> {
  const [run] = await sql<SyncRun[]>`
    select ${runColumns(sql)} from sync_runs r where r.pool_id = ${poolId} and r.id = ${id}`
  if (!run) throw new Problem('sync_run_not_found', 'GET /v1/sync/runs lists the existing runs.')
  return run
}

/**
 * Returns one page of runs, newest first: those before `before`, of one target or all. The target is a range and part of the order,
 * so that only its own index fits; with `target = …` the page could walk the runs of all targets.
 */
export async function listRuns(
  sql: Sql,
  {
    poolId,
    target,
    before,
    limit,
  }: { poolId: number; target: string | undefined; before: string | undefined; limit: number },
): Promise<Page<SyncRun>> {
  return await readPage(
    sql,
    limit,
    (sql, rows) => sql<SyncRun[]>`
    select ${runColumns(sql)} from sync_runs r
    where r.pool_id = ${poolId} ${target === undefined ? sql`` : sql`and r.target >= ${target} and r.target <= ${target}`}
      ${before === undefined ? sql`` : sql`and r.id < ${before}`}
    order by ${target === undefined ? sql`` : sql`r.target desc,`} r.id desc limit ${rows}`,
  )
}

/** Returns the newest run of each target of the pool, whatever its status. */
export async function lastRuns(sql: Sql, poolId: number): Promise<Map<string, SyncRun>> {
  const runs = await sql<SyncRun[]>`
    select ${runColumns(sql)} from targets t
    cross join lateral (
      select * from sync_runs r where r.pool_id = t.pool_id and r.target = t.name order by r.id desc limit 1
    ) r
    where t.pool_id = ${poolId}`
  return new Map(runs.map((run) => [run.target, run]))
}

/**
 * Requests a run and returns it. A run that is still queued is reused: it becomes full if either request is, and clears a sink if
 * the last request does. A running one does not count: it may have read the pool before this request. Throws `target_not_found`.
 */
export async function requestRun(
  sql: ISql,
  poolId: number,
  target: string,
  { full = false, clear = false }: { full?: boolean; clear?: boolean } = {},
): Promise<SyncRun> {
  try {
    const [row] = await sql<{ id: string }[]>`
      insert into sync_runs as r (pool_id, target, trigger, "full", clear)
      values (${poolId}, ${target}, 'request', ${full}, ${clear})
      on conflict (pool_id, target) where status = 'queued'
        do update set "full" = r."full" or excluded."full", clear = excluded.clear, trigger = 'request'
      returning id`
    return await readRun(sql, poolId, row?.id ?? '')
  } catch (error) {
    if (sqlState(error) !== FOREIGN_KEY_VIOLATION) throw error
    throw targetNotFound()
  }
}

/**
 * Requests a run that removes all users from a sink, and ends the sink's schedule: its next run would put them back. Throws
 * `target_not_found`.
 */
export async function requestClear(sql: Sql, poolId: number, target: string): Promise<SyncRun> {
  const run = await sql.begin(async (tx) => {
    await tx`
      update targets set interval_seconds = null, next_run_at = null where pool_id = ${poolId} and name = ${target}`
    return await requestRun(tx, poolId, target, { clear: true })
  })
  return run as SyncRun
}

/** Whether an interval is over, a run is queued, or a claim has expired. One small statement, because in most seconds there is nothing. */
export async function hasWork(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ has_work: boolean }[]>`
    select exists (select from targets where next_run_at <= now())
      or exists (select from sync_runs where status = 'queued')
      or exists (select from sync_runs where status = 'running' and lease_until < now()) as has_work`
  return row?.has_work ?? false
}

/** Queues a run for each target whose interval is over. Each is queued once, however many replicas check at the same time. */
export async function queueDueRuns(sql: Sql): Promise<void> {
  await sql`
    with due as materialized (
      select pool_id, name, now() + interval_seconds * (0.95 + 0.1 * random()) * interval '1 second' as next_run_at
      from targets where next_run_at <= now()
    ), queued as (
      update targets t set next_run_at = d.next_run_at from due d
      where t.pool_id = d.pool_id and t.name = d.name and t.next_run_at <= now()
      returning t.pool_id, t.name
    )
    insert into sync_runs (pool_id, target, trigger, "full") select pool_id, name, 'interval', false from queued
    on conflict do nothing`
}

/**
 * Claims a queued run whose target has no run in progress, or a running one whose lease expired, of any target or of those in `only`.
 * Undefined if there is none. Each run goes to one claim only: the row is locked, and an index allows one running run per target.
 */
export async function claimRun(sql: Sql, leaseMs: number, only?: TargetNames): Promise<ClaimedRun | undefined> {
  const isWanted = only ? sql`w.pool_id = ${only.poolId} and w.target = any(${only.names})` : sql`true`
  const [row] = await sql<
    { pool_id: number; id: string; target: string; full: boolean; clear: boolean; holder: string }[]
  >`
    update sync_runs r set status = 'running', holder = ${randomUUID()}, started_at = least(r.started_at, now()),
      lease_until = now() + ${leaseMs} * interval '1 millisecond'
    where (r.pool_id, r.id) = (
      select w.pool_id, w.id from sync_runs w
      where ${isWanted} and (w.status = 'running' and w.lease_until < now()
        or w.status = 'queued' and not exists (
          select from sync_runs o where o.pool_id = w.pool_id and o.target = w.target and o.status = 'running'))
      order by w.created_at limit 1 for update skip locked
    )
    returning r.pool_id, r.id, r.target, r."full", r.clear, r.holder`
  if (!row) return undefined
  const { holder, pool_id, id, target, full, clear } = row
  return { claim: holder, poolId: pool_id, id, target, full, clear }
}

/** Renews the leases of these claims. Returns the claims that still have their run. */
export async function renewLeases(sql: Sql, claims: string[], leaseMs: number): Promise<Set<string>> {
  const rows = await sql<{ holder: string }[]>`
    update sync_runs set lease_until = now() + ${leaseMs} * interval '1 millisecond'
    where status = 'running' and holder = any(${claims}::uuid[]) returning holder`
  return new Set(rows.map(({ holder }) => holder))
}

/** Ends the leases of these claims, so that their runs can be claimed again at once. */
export async function releaseRuns(sql: Sql, claims: string[]): Promise<void> {
  await sql`
    update sync_runs set lease_until = '-infinity'
    where status = 'running' and holder = any(${claims}::uuid[])`
}

/**
 * Records the outcome of a run if the claim still has it, and deletes older runs that add no information. Returns false if another claim
 * has the run, or the run was deleted with its target.
 */
export async function finishRun(sql: Sql, run: ClaimedRun, outcome: Outcome): Promise<boolean> {
  const { claim, poolId, id, target } = run
  const status = outcome.failure === null ? 'succeeded' : 'failed'
  return await sql.begin(async (tx) => {
    const { count } = await tx`
      update sync_runs set ${tx({ ...outcome, canary: outcome.canary && JSON.stringify(outcome.canary), status })}, finished_at = now()
      where pool_id = ${poolId} and id = ${id} and status = 'running' and holder = ${claim}`
    if (count === 0) return false
    // Of consecutive interval runs with the same result, only the last is kept: one a second would leave 86,400 rows a day.
    await tx`
      with earlier as (
        select r.id from sync_runs r
        where r.pool_id = ${poolId} and r.target = ${target} and r.id < ${id} order by r.id desc limit 1
      )
      delete from sync_runs r using earlier e
      where r.pool_id = ${poolId} and r.id = e.id and r.trigger = 'interval'
        and (r.kind = 'unchanged' and ${outcome.kind === 'unchanged'} or r.failure = ${outcome.failure})`
    await tx`
      delete from sync_runs r
      where r.pool_id = ${poolId} and r.target = ${target} and r.finished_at < now() - interval '30 days'`
    return true
  })
}

/**
 * Returns runs as a key without `admin` may see them: without the states of targets with `test_users_only: false`, since these
 * states cover users that are not test users.
 */
export async function withoutWideStates(sql: Sql, poolId: number, runs: SyncRun[]): Promise<SyncRun[]> {
  const wide = await sql<{ name: string }[]>`
    select name from targets where pool_id = ${poolId} and not test_users_only`
  const names = new Set(wide.map(({ name }) => name))
  return runs.map((run) => (names.has(run.target) ? { ...run, base: null, state: null } : run))
}
