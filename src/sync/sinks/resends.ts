import type { ISql, Sql, TransactionSql } from 'postgres'
import type { SinkName } from './due-users.ts'

/*
 * Users that the sinks of a pool send again on request, as if they had changed here, because somebody may have changed them there.
 *
 * Only the run of a sink writes its rows in sink_users. So a request writes sink_resends and queues a run. When the run plans, it takes
 * the requests over: their users are due, and their rows have the id of the run. A later request opens the row for the next run, so a
 * user is written after its last request.
 *
 * An example. A load test has changed the password of A at the sink `shop`, and A is requested. The row is (shop, A, null), and run 7 is
 * queued. Run 7 plans: A is due, and the row is (shop, A, 7). It writes A, which is not due any more: the request is done. If the sink
 * refuses A, then A is still due after the end of run 7: the request has failed. After a crash, run 7 is claimed again and goes on.
 */

/**
 * Requests that each sink of the pool sends again those of the users that it has, and queues a run for each such sink. Returns these
 * users and sinks. A queued run that clears its sink still does. `ids` are in order: a run locks the rows in the same order.
 */
export async function requestResends(
  tx: TransactionSql,
  poolId: number,
  ids: string[],
): Promise<{ userIds: Set<string>; targets: string[] }> {
  const rows = await tx<{ target: string; user_ids: string[] }[]>`
    with sinks as materialized (
      select t.name from targets t where t.pool_id = ${poolId} and t.kind <> 'usersync' order by t.name for key share
    ), present as materialized (
      select t.name as target, s.user_id from sinks t cross join unnest(${ids}::uuid[]) o (user_id)
      cross join lateral (
        select s.user_id from sink_users s
        where s.pool_id = ${poolId} and s.target = t.name and s.user_id = o.user_id and s.external is not null offset 0
      ) s
    ), requested as (
      insert into sink_resends (pool_id, target, user_id) select ${poolId}, target, user_id from present
      on conflict (pool_id, target, user_id) do update set run_id = null
    ), queued as (
      insert into sync_runs (pool_id, target, trigger, "full")
      select ${poolId}, name, 'request', false from sinks where name in (select target from present)
      on conflict (pool_id, target) where status = 'queued' do update set trigger = 'request'
    )
    select target, array_agg(user_id::text) as user_ids from present group by target`
  return { userIds: new Set(rows.flatMap(({ user_ids }) => user_ids)), targets: rows.map(({ target }) => target) }
}

/** Whether there are requests that no run has taken over. */
export async function hasOpenResends(sql: Sql, { poolId, name }: SinkName): Promise<boolean> {
  const [row] = await sql<{ is_open: boolean }[]>`
    select (
      select r.user_id from sink_resends r
      where r.pool_id = ${poolId} and r.target = ${name} and r.run_id is null order by r.user_id limit 1
    ) is not null as is_open`
  return row?.is_open ?? false
}

/** Marks the users of open requests as due, and forgets requests that are done. `runId` is the run that takes them; null: a dry run. */
export async function takeResends(tx: ISql, { poolId, name }: SinkName, runId: string | null): Promise<void> {
  await tx`
    with requested as materialized (
      select r.user_id, r.run_id from sink_resends r
      where r.pool_id = ${poolId} and r.target = ${name} order by r.user_id for update
    ), forgotten as (
      delete from sink_resends r
      where r.pool_id = ${poolId} and r.target = ${name} and r.user_id = any(array(
        select q.user_id from requested q
        where q.run_id is not null and not exists (
          select from sink_users s where s.pool_id = ${poolId} and s.target = ${name} and s.user_id = q.user_id and s.is_due offset 0
        ) and q.user_id not in (
          select unnest(a.user_ids) from sink_announcements a where a.pool_id = ${poolId} and a.target = ${name}
        )
      ))
    ), taken as (
      update sink_resends r set run_id = ${runId}
      where r.pool_id = ${poolId} and r.target = ${name}
        and r.user_id = any(array(select user_id from requested where run_id is null))
    )
    update sink_users s set is_due = true
    where s.pool_id = ${poolId} and s.target = ${name} and s.user_id = any(array(select user_id from requested where run_id is null))`
}

/** Users whose requests are not done: those that a run may still send, and those that a sink has refused or could not take. */
export interface OpenResends {
  waiting: Set<string>
  failed: Set<string>
}

/**
 * Returns which of these users the sinks have not sent again since they were requested. A delivery whose end is not known counts as not
 * sent. A request has failed if its run ended without it and no other run is queued or in progress, or if the sink refused the user.
 */
export async function readOpenResends(tx: TransactionSql, poolId: number, ids: string[]): Promise<OpenResends> {
  const rows = await tx<{ user_id: string; has_failed: boolean }[]>`
    with sinks as materialized (
      select t.name, array(
        select r.id from sync_runs r where r.pool_id = t.pool_id and r.target = t.name and r.status = 'queued'
        union all
        select r.id from sync_runs r where r.pool_id = t.pool_id and r.target = t.name and r.status = 'running'
      ) as runs
      from targets t where t.pool_id = ${poolId} and t.kind <> 'usersync'
    )
    select o.user_id, coalesce(cardinality(t.runs) = 0 or s.code is not null and r.run_id <> all(t.runs), false) as has_failed
    from sinks t cross join unnest(${ids}::uuid[]) o (user_id)
    cross join lateral (
      select r.run_id from sink_resends r
      where r.pool_id = ${poolId} and r.target = t.name and r.user_id = o.user_id offset 0
    ) r
    left join lateral (
      select s.is_due, s.code from sink_users s
      where s.pool_id = ${poolId} and s.target = t.name and s.user_id = o.user_id offset 0
    ) s on true
    where r.run_id is null or s.is_due or (t.name, o.user_id) in (
      select a.target, unnest(a.user_ids) from sink_announcements a where a.pool_id = ${poolId}
    )`
  const idsOf = (hasFailed: boolean) =>
    new Set(rows.filter(({ has_failed }) => has_failed === hasFailed).map(({ user_id }) => user_id))
  return { waiting: idsOf(false), failed: idsOf(true) }
}
