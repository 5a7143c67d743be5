import { argon2Sync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import { stateFromScratch } from '../export/observe.ts'
import type { Answer } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/** More than the connections of the service, at each size. */
const CROWD = sized(20, 50)

const { sql, call, log, workers } = await sharedService(t)

interface Page {
  items: Batch[]
  next_cursor: string | null
}

/** Creates a batch without hashes and waits until it has ended. */
async function make(given: { count: number; config?: object }): Promise<Batch> {
  const body = { ...given, config: { password_hash: { algorithm: 'none' }, ...given.config } }
  const { json, status } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
  return json
}

/** The usernames of a batch, ordered by `n`. */
async function namesOf({ id }: Batch): Promise<string[]> {
  const rows = await sql<{ username: string }[]>`select username from users where batch_id = ${id} order by id`
  return rows.map(({ username }) => username)
}

t.test('a batch of 1,000 users is created within one request with Prefer: wait', async (t) => {
  const config = {
    username_pattern: 'perf_{id}@example.com',
    role: 'buyer',
    custom_attributes: { plan: 'gold', depth: { of: [1, 'ü', null] } },
    chunk_size: 300,
    max_workers: 2,
  }
  const body = { count: 1000, label: 'checkout', config }
  const { status, headers, json } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  t.equal(status, 201)
  t.equal(headers.location, `/v1/batches/${json.id}`)
  t.match(json, {
    id: /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    label: 'checkout',
    status: 'completed',
    total_requested: 1000,
    created_count: 1000,
    failed_count: 0,
    progress: 1,
    eta_seconds: null,
    expires_at: null,
    config: {
      ...config,
      email_domain: 'example.com',
      password_mode: 'shared',
      password_hash: { algorithm: 'argon2id', distinct: 1 },
    },
    profile: { chunks: 4, workers: 2 },
  })
  t.ok((json.throughput_per_second ?? 0) > 0 && (json.profile.duration_ms ?? 0) > 0, 'speed')
  t.ok((json.profile.peak_memory_bytes ?? 0) > 1_000_000, 'memory')
  const times = [json.created_at, json.started_at, json.finished_at]
  for (const time of times) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  t.strictSame(times.toSorted(), times)
  t.strictSame((await call('GET', headers.location ?? '')).json, json, 'Location leads to the batch')

  const filter = { batchId: json.id, testUsersOnly: true, bulkUsersOnly: false }
  t.equal(json.state, await stateFromScratch(sql, 1, filter))
  const [row] = await sql`
    select count(*)::int as count, count(distinct username)::int as usernames, count(distinct id)::int as ids,
      bool_and(username = email and username ~ '^perf_\\d+@example\\.com$') as named,
      bool_and(is_test_user and created_by_bulk and role = 'buyer') as flagged, min(id::text) > ${json.id} as after_batch,
      bool_and(custom_attributes = ${JSON.stringify(config.custom_attributes)}) as with_attributes,
      count(distinct credential_id)::int as credentials
    from users where batch_id = ${json.id}`
  t.same(row, {
    count: 1000,
    usernames: 1000,
    ids: 1000,
    named: true,
    flagged: true,
    after_batch: true,
    with_attributes: true,
    credentials: 1,
  })
})

t.test('a batch without Prefer is accepted with 202 and created in the background', async (t) => {
  const { status, json, headers } = await call<Batch>('POST', '/v1/batches', { body: { count: 20 } })
  t.equal(status, 202)
  t.match(json, { total_requested: 20, config: { username_pattern: 'testuser_{id}@example.com' } })
  let batch = json
  for (let i = 0; i < 300 && batch.finished_at === null; i++) {
    await sleep(20)
    batch = (await call<Batch>('GET', headers.location ?? '')).json
    t.ok(batch.progress >= 0 && batch.progress <= 1)
  }
  t.match(batch, { status: 'completed', created_count: 20 })
})

t.test('{n} counts within the batch, {id} within the pool, and {batch} identifies the batch', async (t) => {
  const pattern = '{batch}.{n}.{id}@a.test'
  const first = await make({ count: 3, config: { username_pattern: pattern, chunk_size: 2 } })
  const second = await make({ count: 2, config: { username_pattern: pattern } })
  const names = [...(await namesOf(first)), ...(await namesOf(second))].map((name) => name.split(/[.@]/))
  t.strictSame(
    names.map(([, n]) => n),
    ['1', '2', '3', '1', '2'],
  )
  const start = Number(names[0]?.[2])
  t.strictSame(
    names.map(([, , id]) => Number(id)),
    [0, 1, 2, 3, 4].map((step) => start + step),
  )
  t.equal(new Set(names.slice(0, 3).map(([batch]) => batch)).size, 1)
  t.not(names[0]?.[0], names[4]?.[0])
  const [row] =
    await sql`select username, email from users where batch_id = ${(await make({ count: 1, config: { username_pattern: 'plain{id}', email_domain: 'mail.test' } })).id}`
  t.equal(row?.['email'], `${row?.['username']}@mail.test`, 'a username that is not an email address gets the domain')
})

t.test('a pattern with {id} can be reused without conflicts', async (t) => {
  const config = { username_pattern: 'again_{id}' }
  const batches = [await make({ count: 50, config }), await make({ count: 50, config })]
  for (const batch of batches) t.match(batch, { status: 'completed', created_count: 50, failed_count: 0 })
})

t.test('taken names fail one by one and are listed as failures', async (t) => {
  await sql`
    insert into users (username, email) values
      ('taken_3@example.com', 'another@example.com'), ('another', 'taken_7@example.com')`
  const batch = await make({ count: 10, config: { username_pattern: 'taken_{n}@example.com', chunk_size: 4 } })
  t.match(batch, { status: 'completed_with_failures', created_count: 8, failed_count: 2, progress: 1 })
  t.strictSame((await call('GET', `/v1/batches/${batch.id}/failures`)).json, {
    items: [
      { n: 3, username: 'taken_3@example.com', email: 'taken_3@example.com', code: 'username_taken' },
      { n: 7, username: 'taken_7@example.com', email: 'taken_7@example.com', code: 'email_taken' },
    ],
    next_cursor: null,
  })
  t.strictSame(
    await namesOf(batch),
    [1, 2, 4, 5, 6, 8, 9, 10].map((n) => `taken_${n}@example.com`),
  )
  const again = await make({ count: 10, config: { username_pattern: 'taken_{n}@example.com' } })
  t.match(again, { status: 'completed_with_failures', created_count: 0, failed_count: 10, progress: 1 })
})

t.test('a batch with chunks of one user and one worker completes', async (t) => {
  const batch = await make({ count: 12, config: { chunk_size: 1, max_workers: 1 } })
  t.match(batch, { status: 'completed', created_count: 12, profile: { chunks: 12, workers: 1 } })
})

t.test(`${CROWD} concurrent batches complete`, async (t) => {
  const config = { username_pattern: 'crowd_{id}' }
  const batches = await Promise.all(Array.from({ length: CROWD }, () => make({ count: 1, config })))
  for (const batch of batches) if (batch.status !== 'completed') t.fail(JSON.stringify(batch))
  const [row] = await sql`select count(*)::int as count from users where username like 'crowd\\_%'`
  t.same(row, { count: CROWD })
})

t.test('only worker threads write users and credentials, never the main thread’s connections', async (t) => {
  await sql.unsafe(`
    create table writers (name text);
    create function note_writer() returns trigger language plpgsql as
      $$ begin insert into usersync.writers values (current_setting('application_name')); return null; end $$;
    create trigger note_writer after insert on users for each statement execute function note_writer();
    create trigger note_writer after insert on credentials for each statement execute function note_writer()`)
  await make({ count: 40, config: { chunk_size: 10 } })
  t.strictSame(
    [...(await sql`select name, count(*)::int as statements from writers group by name`)],
    [{ name: 'usersync worker', statements: 5 }],
  )
  await sql.unsafe('drop function note_writer cascade; drop table writers')
  while (workers.inWork() > 0) await sleep(10)
})

t.test('the hash verifies the password, and the password appears nowhere in clear text', async (t) => {
  const password = 'S3cret-Nowhere-To-Be-Seen-9'
  const body = { count: 2, config: { username_pattern: 'pw_{id}', password } }
  const { raw, json } = await call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30' } })
  const [row] = await sql<{ hash: string }[]>`
    select distinct c.password_hash as hash from users u join credentials c on c.pool_id = u.pool_id and c.id = u.credential_id
    where u.batch_id = ${json.id}`
  const [, , , parameters = '', salt = '', hash = ''] = row?.hash.split('$') ?? []
  const [memory = 0, passes = 0, parallelism = 0] = (parameters.match(/\d+/g) ?? []).map(Number)
  const nonce = Buffer.from(salt, 'base64')
  const recomputed = argon2Sync('argon2id', { message: password, nonce, memory, passes, parallelism, tagLength: 32 })
  t.ok(recomputed.equals(Buffer.from(hash, 'base64')))

  for (const text of [password, Buffer.from(password).toString('hex'), Buffer.from(password).toString('base64')]) {
    t.notOk(raw.includes(text), 'response')
    t.notOk(
      log.some((line) => line.includes(text)),
      'log',
    )
    const tables = await sql<
      { name: string }[]
    >`select table_name as name from information_schema.tables where table_schema = 'usersync'`
    t.ok(tables.length > 8)
    for (const { name } of tables) {
      const [found] = await sql`select count(*)::int as count from ${sql(name)} r where strpos(r::text, ${text}) > 0`
      t.same(found, { count: 0 }, name)
    }
  }
  t.ok(
    log.some((line) => line.includes('/v1/batches')),
    'the log was not empty',
  )
})

t.test('a batch without hashes still has credentials', async (t) => {
  const { id } = await make({ count: 2 })
  t.same(await sql`select password_hash from credentials where batch_id = ${id}`, [{ password_hash: null }])
})

t.test('deleting a batch deletes only its test users, and can be repeated', async (t) => {
  const batch = await make({ count: 5, config: { username_pattern: 'gone_{n}' } })
  const other = await make({ count: 2, config: { username_pattern: 'stays_{n}' } })
  await sql`update users set is_test_user = false where username = 'gone_2'`
  await sql`insert into users (username, email, is_test_user, batch_id) values ('real', 'real@shop.de', false, ${batch.id})`
  const path = `/v1/batches/${batch.id}`
  t.match((await call('GET', path)).json, { created_count: 5, user_count: 4 }, 'its test users that exist now')
  t.match(await call('DELETE', path), { status: 200, json: { id: batch.id, deleted_count: 4, protected_count: 2 } })
  t.match(await call('DELETE', path), { status: 200, json: { id: batch.id, deleted_count: 0, protected_count: 2 } })
  t.strictSame((await namesOf(batch)).sort(), ['gone_2', 'real'])
  t.equal((await namesOf(other)).length, 2)
  t.match(
    (await call('GET', path)).json,
    { status: 'completed', created_count: 5, user_count: 0, removed_at: String },
    'the batch still reports how many users it created, and when they were removed',
  )
})

t.test('deleting a running batch ends it and waits only for the chunks in progress', async (t) => {
  const config = { chunk_size: 200, max_workers: 2, password_hash: { algorithm: 'none' } }
  const { json } = await call<Batch>('POST', '/v1/batches', { body: { count: 20_000, config } })
  await sleep(100)
  const deleted = (await call<{ deleted_count: number }>('DELETE', `/v1/batches/${json.id}`)).json.deleted_count
  t.ok(deleted < 20_000, `${deleted} of 20,000 users existed`)
  await sleep(100)
  t.strictSame(await namesOf(json), [])
  t.match((await call('GET', `/v1/batches/${json.id}`)).json, { status: 'cancelled', finished_at: String })
})

t.test('the list is ordered from newest to oldest across pages', async (t) => {
  const all = (await call<Page>('GET', '/v1/batches?limit=1000')).json
  t.equal(all.next_cursor, null)
  const ids = all.items.map(({ id }) => id)
  t.strictSame(ids, ids.toSorted().reverse())
  const seen: Batch[] = []
  let path: string | undefined = '/v1/batches?limit=7'
  while (path) {
    const { json, headers }: Answer<Page> = await call<Page>('GET', path)
    seen.push(...json.items)
    const link: string | undefined = /^<(.*)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1]
    t.equal(link !== undefined, json.next_cursor !== null)
    path = link
  }
  t.strictSame(seen, all.items)
})
