import { verifyPool } from '../../src/states/verify-states.ts'
import { eventually, remaining } from './clock.ts'
import { LEASED } from './events.ts'
import { LEASED_USERS, plantedRows } from './setup.ts'
import type { World } from './world.ts'

const READY_MS = 20_000
const WORK_MS = 60_000

/** A run whose process is gone is claimed again when its lease of 30 s has expired. */
const PUSH_MS = 75_000

/** Expiry runs every 10 s. */
const EXPIRY_MS = 30_000

export async function checkReady({ replicas, receiver, client, report }: World): Promise<void> {
  const isReady = await eventually(READY_MS, async () => {
    const answers = await Promise.all(
      [...replicas, receiver].map((replica) => client.ask({ replica, path: '/readyz', kind: 'health' })),
    )
    return answers.every(({ status }) => status === 200)
  })
  if (!isReady) report.finding('ready-when-well', `a replica is not ready ${READY_MS} ms after the last fault`)
}

/** Batches and imports end, and complete ones have exactly their users. */
export async function checkBatches({ sql, report }: World): Promise<void> {
  const unfinished = await remaining(
    report.patience('batch-ends', WORK_MS),
    () => sql`
      select b.kind, b.status, b.label, b.total_requested as users, (
        select count(*)::int from users u where u.pool_id = b.pool_id and u.batch_id = b.id) as made
      from batches b where b.finished_at is null order by b.id`,
  )
  if (unfinished.length > 0) report.finding('batch-ends', JSON.stringify(unfinished.slice(0, 3)))
  const expired = await remaining(
    report.patience('batch-ends', EXPIRY_MS),
    () => sql`
      select b.label, count(*)::int as users from users u join batches b on b.pool_id = u.pool_id and b.id = u.batch_id
      where b.expires_at < now() - interval '1 second' and u.is_test_user group by b.pool_id, b.id order by b.id`,
  )
  if (expired.length > 0)
    report.finding('batch-ends', `expired, but with users: ${JSON.stringify(expired.slice(0, 3))}`)
  // In this pool only batches create, move or delete users. A deleted or expired batch has none.
  const wrong = await sql`
    select b.label, b.status, b.total_requested, count(u.id)::int as users
    from batches b join pools p on p.id = b.pool_id left join users u on u.pool_id = b.pool_id and u.batch_id = b.id
    where p.name = 'steady' and b.status like 'completed%'
    group by b.pool_id, b.id having count(u.id) not in (0, b.total_requested)`
  if (wrong.length > 0) report.finding('batch-exact', JSON.stringify(wrong[0]))
  const twice = await sql`
    select label, count(*)::int from batches where kind = 'creation' group by label having count(*) > 1`
  if (twice.length > 0) report.finding('made-once', JSON.stringify(twice[0]))
  const [made] = await sql<{ count: number }[]>`select count(*)::int as count from users where created_by_bulk`
  report.count('users created', made?.count ?? 0)
}

/** No run from before the end of the faults is unfinished, and each target has the source's users. */
export async function checkTargets({ sql, client, replicas, report }: World): Promise<void> {
  const [now] = await sql<{ now: string }[]>`select now()::text`
  const unfinished = await remaining(
    report.patience('run-ends', PUSH_MS),
    () => sql`
      select target, status, trigger, attempts, started_at::text, holder from sync_runs
      where status in ('queued', 'running') and created_at <= ${now?.now ?? ''}::text::timestamptz order by id`,
  )
  if (unfinished.length > 0) report.finding('run-ends', JSON.stringify(unfinished))
  for (const pool of ['default', 'steady']) {
    let text = ''
    const isInStep = await eventually(report.patience('target-in-step', PUSH_MS / 3), async () => {
      const answer = await client.ask({ replica: replicas[0], path: `/v1/sync/status?pool=${pool}` })
      text = answer.text
      return (answer.json['items'] as { in_step: boolean }[]).every((item) => item.in_step)
    })
    if (!isInStep) report.finding('target-in-step', text)
    report.count(isInStep ? 'targets in step' : 'targets behind')
  }
}

/** Leases that a storm leaves last up to 4 s, and upkeep looks once a second. */
const LEASES_MS = 30_000

/** All leases end, the journal has no two holders of a user at the same time, and all users of the pool LEASED can be leased. */
export async function checkLeases({ sql, client, replicas, report }: World): Promise<void> {
  const alive = await remaining(
    report.patience('none-lost', LEASES_MS),
    () => sql`select id, expires_at::text, user_ids from leases where ended_at is null`,
  )
  if (alive.length > 0) report.finding('none-lost', `a lease does not end: ${JSON.stringify(alive[0])}`)
  const [entries] = await sql<{ count: number; overlap: string | null }[]>`
    with held as (
      select x.pool_id, g.user_id, x.fence, x.granted_at, coalesce(r.returned_at, x.ended_at) as ended_at
      from leases x cross join lateral unnest(x.user_ids) g (user_id)
      left join lease_returns r on r.pool_id = x.pool_id and r.lease_id = x.id and r.user_id = g.user_id
    ), next as (
      select h.*, lead(h.granted_at) over users as next_at, lead(h.fence) over users as next_fence
      from held h window users as (partition by h.pool_id, h.user_id order by h.fence)
    )
    select count(*)::int as count,
      min(user_id || ': fence ' || fence || ' and ' || next_fence) filter (where next_at < coalesce(ended_at, 'infinity')) as overlap
    from next`
  report.count('leases journal entries', entries?.count ?? 0)
  if (entries?.overlap) report.finding('one-holder', `in the journal, at the same time: ${entries.overlap}`)
  const request = { replica: replicas[0], key: 'caller', path: '/v1/leases' } as const
  let answer = ''
  const areFree = await eventually(report.patience('none-lost', LEASES_MS), async () => {
    await client.ask({ ...request, path: '/v1/leases/reset', body: { pool: LEASED } })
    const { status, text, json } = await client.ask({ ...request, body: { pool: LEASED, count: LEASED_USERS } })
    answer = text
    if (status !== 201) return false
    const body = { pool: LEASED, fence: json['fence'], outcome: 'clean' }
    await client.ask({ ...request, path: `/v1/leases/${json['id']}/return`, body })
    return true
  })
  if (!areFree) report.finding('none-lost', `not all users of the pool ${LEASED} are free: ${answer}`)
}

/** What must be true in the databases of both sides. */
export async function checkDatabase(world: World): Promise<void> {
  const { sql, targetSql, report } = world
  for (const [side, database] of [
    ['source', sql],
    ['target', targetSql],
  ] as const) {
    for (const pool of await database<{ id: number; name: string }[]>`select id, name from pools`) {
      const { wrong } = await verifyPool(database, pool)
      if (wrong.length > 0)
        report.finding('kept-state', `${side}, pool ${pool.name}: ${JSON.stringify(wrong.slice(0, 3))}`)
    }
  }
  const without = await sql`
    select u.username, u.batch_id from users u where u.credential_id is not null and not exists (
      select from credentials c where c.pool_id = u.pool_id and c.id = u.credential_id offset 0)`
  if (without.length > 0)
    report.finding('login-stays', `${without.length} users, for example ${JSON.stringify(without[0])}`)
  if ((await plantedRows(sql)) !== world.planted)
    report.finding('protected', 'a protected user was changed, deleted or added')
}
