import { suite } from '../suite.ts'
import type { Answer } from './service.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/* Every listing ends a page after 2 MiB, whatever its limit, and its pages together contain all rows. */

/** Of 900 kB, so that two fit into a page. */
const ROWS = 3
const { sql, call } = await sharedService(t)

const LONG = 'x'.repeat(900_000)
const config = {
  ...{ username_pattern: 'u{n}', email_domain: 'example.com', role: 'user', custom_attributes: { x: LONG } },
  ...{ password_mode: 'shared', password_hash: { algorithm: 'none', distinct: 1 }, chunk_size: 1000, max_workers: 1 },
}
const [batch] = await sql<{ id: string }[]>`
  insert into batches (pool_id, id, label, status, total_requested, first_user_number, first_credential_id, username_pattern,
    email_suffix, config, created_at, finished_at, expires_at)
  select 1, uuid_v7(), ${LONG}, 'completed', 1, 1, 1, '', '', ${JSON.stringify(config)}, now(), now(), now() + interval '1 day'
  from generate_series(1, ${ROWS}::int) returning id`
await sql`
  insert into users (username, email, batch_id) select 'u' || n, 'u' || n || '@example.com', b.id
  from (select id, row_number() over () as n from batches) b`
await sql`
  insert into failures (pool_id, batch_id, n, username, email, code)
  select 1, ${batch?.id ?? ''}, n, ${LONG}, '', 'invalid_row' from generate_series(1, ${ROWS}::int) n`
await sql`
  insert into templates (pool_id, name, description, settings)
  select 1, 'z' || n, ${LONG}, '{}' from generate_series(1, ${ROWS}::int) n`
await sql`
  insert into targets (pool_id, name, url, remote_pool, test_users_only, bulk_users_only)
  select 1, 'target' || n, ${LONG}, 'default', true, false from generate_series(1, ${ROWS}::int) n`
await sql`
  insert into sync_runs (pool_id, target, trigger, "full", status, detail)
  select 1, 'target' || n, 'request', false, 'failed', ${LONG} from generate_series(1, ${ROWS}::int) n`
await sql`
  insert into audit_events (action, pool, subject, status)
  select 'test', 'default', ${LONG}, 200 from generate_series(1, ${ROWS}::int) n`
await sql`
  insert into users (username, email, custom_attributes)
  select 'large' || n, 'large' || n || '@example.com', jsonb_build_object('x', ${LONG}::text) from generate_series(1, ${ROWS}::int) n`

for (const path of [
  'users?sort=username',
  'batches?',
  `batches/${batch?.id}/failures?`,
  'templates?',
  'targets?',
  'sync/runs?',
  'audit?pool=default',
  'lifecycle/candidates?age_days=0',
]) {
  t.test(`pages end after 2 MiB: ${path}`, async (t) => {
    let large = 0
    let pages = 0
    for (let cursor: string | null = ''; cursor !== null; pages++) {
      const page: Answer<{ items: object[]; next_cursor: string | null }> = await call(
        'GET',
        `/v1/${path}&limit=1000${cursor && `&cursor=${cursor}`}`,
      )
      t.ok(page.raw.length < 2_200_000, `${page.raw.length} bytes`)
      large += page.json.items.filter((item) => JSON.stringify(item).length > LONG.length).length
      cursor = page.json.next_cursor
    }
    t.equal(large, ROWS)
    t.ok(pages >= 2, `${pages} pages`)
  })
}
