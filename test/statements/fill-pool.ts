import type { Sql } from 'postgres'
import { sized } from '../size.ts'

/** The batches of each pool: a statement that reads them all for a page of 100 is over its limit. */
export const BATCHES = sized(4_000, 10_000)
/** Of these many batches chunks are left. */
const BATCHES_WITH_CHUNKS = sized(1_000, 2_000)
const COMMITS = 60
/** The users of a batch. */
export const PER_BATCH = 1_000

const CONFIG = JSON.stringify({
  username_pattern: 'u{n}',
  email_domain: 'example.com',
  role: 'user',
  custom_attributes: {},
  password_mode: 'shared',
  password_hash: { algorithm: 'none', distinct: 1 },
  chunk_size: 1000,
  max_workers: 1,
})

/**
 * Fills every table of a pool: `users` in batches of 1,000, each with a credential; a history of states and tombstones;
 * and batches, chunks, failures, runs, templates, targets and audit events as in a pool that has been in use for a
 * while.
 */
export async function fillPool(sql: Sql, pool: string, users: number): Promise<number> {
  const [made] = await sql<{ id: number }[]>`
    insert into pools (name, next_credential_id) values (${pool}, ${users + 1})
    on conflict (name) do update set next_credential_id = excluded.next_credential_id returning id`
  const poolId = made?.id ?? 0
  const batchId = sql`('01890000-0000-7000-8000-' || lpad(to_hex(b), 12, '0'))::uuid`
  await sql`
    insert into batches (pool_id, id, label, status, total_requested, first_user_number, first_credential_id, credential_count, username_pattern,
      email_suffix, config, password_ciphertext, created_at, started_at, finished_at, expires_at, idempotency_key)
    select ${poolId}, ${batchId}, 'batch ' || b, 'completed', 2000, 1, (b - 1) * ${PER_BATCH}::int, ${PER_BATCH}, 'u{n}', '@example.com',
      ${CONFIG}, ${Buffer.alloc(60)}, now() - interval '2 days', now() - interval '2 days',
      now() - interval '1 day', case when b % 2 = 0 then now() + interval '1 day' end, 'key ' || b
    from generate_series(1, ${BATCHES}::int) b`
  await sql`
    insert into chunks (pool_id, batch_id, kind, first_n, last_n)
    select ${poolId}, ${batchId}, k, c * 1000 + 1, c * 1000 + 1000
    from generate_series(1, ${BATCHES_WITH_CHUNKS}::int) b, generate_series(0, 1) c, unnest(array['users', 'credentials']) k`
  await sql`
    insert into failures (pool_id, batch_id, n, username, email, code)
    select ${poolId}, ${batchId}, n, 'x' || n, 'x' || n || '@example.com', 'username_taken'
    from generate_series(1, 20) b, generate_series(1, ${Math.ceil(users / 40)}::int) n`
  await sql`
    insert into credentials (pool_id, id, batch_id, password_hash)
    select ${poolId}, n, ('01890000-0000-7000-8000-' || lpad(to_hex(1 + n / ${PER_BATCH}::int), 12, '0'))::uuid, '$2b$04$' || lpad(n::text, 53, '0')
    from generate_series(1, ${users}::int) n`
  await sql`
    insert into templates (pool_id, name, settings) select ${poolId}, 'template' || n, '{}' from generate_series(1, 90) n`
  await sql`
    insert into targets (pool_id, name, url, remote_pool, test_users_only, bulk_users_only)
    select ${poolId}, 'target' || n, 'http://127.0.0.1:9', 'default', true, false from generate_series(1, 40) n`
  await sql`
    insert into sync_runs (pool_id, target, trigger, "full", status, kind, finished_at, lease_until)
    select ${poolId}, 'target' || 1 + n % 40, 'interval', false, 'succeeded', 'delta', now(), now()
    from generate_series(1, ${Math.ceil(users / 5)}::int) n`
  await sql`
    insert into audit_events (action, pool, status)
    select 'POST /v1/batches', ${pool}, 201 from generate_series(1, ${Math.ceil(users / 5)}::int) n`
  await sql`
    insert into job_runs (name, parameters, parameters_digest)
    select 'create', '{}', convert_to(${pool} || n, 'UTF8') from generate_series(1, ${Math.ceil(users / 5)}::int) n`
  for (let first = 1; first <= users; first += 2_000) {
    await sql`
      insert into users (pool_id, username, email, batch_id, created_by_bulk, custom_attributes, credential_id, created_at)
      select ${poolId}, 'u' || n, 'u' || n || '@example.com',
        ('01890000-0000-7000-8000-' || lpad(to_hex(1 + n / ${PER_BATCH}::int), 12, '0'))::uuid, true, '{"plan":"gold"}', n,
        now() - n * interval '1 second'
      from generate_series(${first}::int, ${first + 1_999}::int) n`
  }
  // Many small commits give the scope a history that a look-up could scan by mistake.
  for (let commit = 0; commit < COMMITS; commit++) {
    await sql`
      update users set role = ${`role${commit}`}
      where pool_id = ${poolId} and username = any(select 'u' || ${commit}::int * 7 + n * 31 from generate_series(1, 10) n)`
    await sql`
      delete from users
      where pool_id = ${poolId} and username = any(select 'u' || 2000 + ${commit}::int * 5 + n from generate_series(1, 5) n)`
  }
  return poolId
}
