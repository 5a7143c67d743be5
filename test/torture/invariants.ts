import { verifyPool } from '../../src/jobs/verify-states.ts'
import { eventually } from './clock.ts'
import { plantedRows } from './furnish.ts'
import type { World } from './world.ts'

const READY_MS = 20_000
const WORK_MS = 60_000

/** A run whose process was lost is taken up when its lease of 30 s is over. */
const PUSH_MS = 75_000

/** Expiry looks every 10 s. */
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

/** Batches and imports end, and those that are complete have exactly their users. */
export async function checkBatches({ sql, report }: World): Promise<void> {
  const unfinished = () => sql<{ kind: string; status: string; label: string }[]>`
    select kind, status, label from batches where finished_at is null`
  if (!(await eventually(report.patience('work-ends', WORK_MS), async () => (await unfinished()).length === 0))) {
    report.finding('work-ends', `batches without an end: ${JSON.stringify((await unfinished()).slice(0, 3))}`)
  }
  const expired = () => sql`
    select from users u join batches b on b.pool_id = u.pool_id and b.id = u.batch_id
    where b.expires_at < now() - interval '1 second' and u.is_test_user limit 1`
  if (!(await eventually(report.patience('work-ends', EXPIRY_MS), async () => (await expired()).length === 0))) {
    report.finding('work-ends', 'a batch that has expired still has its users')
  }
  // In this pool nobody but batches makes, moves or deletes users; a batch that was deleted or has expired has none.
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
  report.count('users made', made?.count ?? 0)
}

/** No run that was there when the faults stopped is unfinished, and each target holds what we hold. */
export async function checkTargets({ sql, client, replicas, report }: World): Promise<void> {
  const [now] = await sql<{ now: string }[]>`select now()::text`
  const left = () => sql`
    select target, status, trigger, attempts, (now() - created_at)::text as age, (lease_until - now())::text as lease
    from sync_runs where status in ('queued', 'running') and created_at <= ${now?.now ?? ''}::text::timestamptz`
  if (!(await eventually(report.patience('work-ends', PUSH_MS), async () => (await left()).length === 0))) {
    report.finding('work-ends', `sync runs without an end: ${JSON.stringify(await left())}`)
  }
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

/** What the database itself must say, of both sides. */
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
    report.finding('login-stays', `${without.length} users, such as ${JSON.stringify(without[0])}`)
  if ((await plantedRows(sql)) !== world.planted) report.finding('protected', 'a planted user is changed, gone or new')
}
