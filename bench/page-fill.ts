import type { BatchConfigBody } from '../src/batches/batch-config.ts'
import type { Surroundings } from './bench-surroundings.ts'
import { makeBatch } from './create-batch.ts'
import { emptyTables } from './create-empty.ts'
import { count } from './report-table.ts'

/** Batches of the pool besides the large ones. Each has one user, as the record of a smoke test has. */
const BATCHES = 10_000
const LARGE_BATCHES = 5

const CONFIG: BatchConfigBody = {
  password_hash: { algorithm: 'none' },
  custom_attributes: { plan: { $choice: { free: 7, gold: 2 } }, first: { $name: 'first' } },
}

/**
 * Fills the default pool as months of use would: `--users` users, most of them in a few batches, 10,000 batches, leases, runs of
 * targets, templates and audit events; and 30 more pools. What the service makes one by one is inserted at once.
 */
export async function fillPages(surroundings: Surroundings): Promise<void> {
  const { client, sql, within, progress, options } = surroundings
  const users = Math.max(1, Math.round((options.listed - BATCHES) / LARGE_BATCHES))
  await emptyTables(surroundings)
  await sql`truncate audit_events, templates, targets, sync_runs cascade`
  for (let made = 1; made <= LARGE_BATCHES; made++) {
    progress(`page: ${count(made * users)} users`)
    await makeBatch(surroundings, users, { ...CONFIG, username_pattern: `large${made}.{n}@example.com` })
  }
  progress(`page: ${count(BATCHES)} batches`)
  await within(120, 'batches', async () => {
    await insertBatches(surroundings)
    await insertHistory(surroundings)
  })
  progress('page: leases')
  await within(600, 'leases', async (signal) => {
    const post = (path: string, json: object) =>
      client.send(path, { method: 'POST', headers: { prefer: 'wait=30' }, json, signal })
    for (let pool = 1; pool <= 30; pool++) await post('/v1/pools', { name: `pool-${pool}` })
    await post('/v1/pools', { name: 'copy', replica: 'test_users' })
    await post('/v1/targets', { name: 'in-reach', url: surroundings.address, remote_pool: 'copy' })
    await post('/v1/targets', { name: 'refused', url: 'http://127.0.0.1:9' })
    for (let owner = 1; owner <= 200; owner++) {
      await post('/v1/leases', { owner: `runner-${owner}`, count: 20, ttl_seconds: 86_400 })
      if (owner === 1) await untilFilled(surroundings, signal)
    }
    await sql`update lease_users set status = 'dirty' where pool_id = 1 and status = 'free' and draw % 20 = 0`
  })
  await within(300, 'vacuum', () => sql`vacuum (analyze)`)
}

/** Most are completed, a few failed long ago. A third has no users any more, a third has a time to expire. */
async function insertBatches({ sql }: Surroundings): Promise<void> {
  await sql`
    insert into batches (pool_id, id, label, status, total_requested, created_count, first_user_number, first_credential_id,
      username_pattern, email_suffix, config, created_at, started_at, finished_at, expires_at, removed_at)
    select 1, ${batchId(sql)}, 'smoke test ' || b, case when b % 100 = 7 then 'cancelled' when b <= 20 then 'failed' else 'completed' end,
      1, 1, 1, 1, 'smoke' || b || '.{n}@example.com', '', model.config, at, at, at + interval '1 second',
      case when b % 3 = 1 then now() + b * interval '1 minute' + interval '1 day' end, case when b % 3 = 2 then at + interval '1 day' end
    from generate_series(1, ${BATCHES}::int) b,
      lateral (select now() - (${BATCHES} - b) * interval '10 minutes' - interval '1 hour' as at) t,
      (select config from batches limit 1) model`
  await sql`
    insert into users (pool_id, username, email, batch_id, created_by_bulk, custom_attributes)
    select 1, name, name, ${batchId(sql)}, true, '{"plan":"free"}'
    from generate_series(1, ${BATCHES}::int) b, lateral (select 'smoke' || b || '.1@example.com' as name) n
    where b % 3 <> 2`
}

/** Ids of batches begin with their time, so that they come before those of the large batches. */
const batchId = (sql: Surroundings['sql']) => sql`('01890000-0000-7000-8000-' || lpad(to_hex(b), 12, '0'))::uuid`

async function insertHistory({ sql }: Surroundings): Promise<void> {
  await sql`
    insert into failures (pool_id, batch_id, n, username, email, code)
    select pool_id, id, n, 'taken' || n, 'taken' || n || '@example.com', 'username_taken'
    from (select pool_id, id from batches where status = 'failed' limit 1) b, generate_series(1, 20000) n`
  await sql`
    insert into templates (pool_id, name, settings)
    select 1, 'template-' || n, '{"role":"user"}' from generate_series(1, 80) n`
  await sql`
    insert into audit_events (at, action, pool, subject, status, counts, request_id)
    select now() - n * interval '1 second', 'POST /v1/batches', case when n % 4 = 0 then 'pool-1' else 'default' end,
      'subject ' || n, 201, '{"created_count":1}', 'req-' || n
    from generate_series(200000, 1, -1) n`
  await sql`
    insert into leases (pool_id, id, fence, owner, granted_at, expires_at, ended_at, ending, outcome, user_ids, previous_ids, commit_ids)
    select 1, uuid_v7(), n, 'ended ' || n, now(), now(), now(), 'returned', 'clean', array[u.id], array[null::uuid], array[0]
    from generate_series(1, 50000) n, (select id from users limit 1) u`
}

/** The first lease of a pool begins a row for each user. */
async function untilFilled({ sql }: Surroundings, signal: AbortSignal): Promise<void> {
  for (;;) {
    const rows = await sql`select from lease_pools where scan_before is not null`
    if (rows.length === 0) return
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}
