import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { sweepCredentials } from '../../src/batches/unused-credentials.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * After a batch is deleted, every table contains only rows that belong to the remaining users. The batch's row stays as
 * a record.
 */

const { sql, call, url } = await sharedService(t)

const NO_HASH = { password_hash: { algorithm: 'none' }, totp: true }
const PER_USER = { ...NO_HASH, password_mode: 'per_user' }

async function make(config: object, body: object = {}, prefer = 'wait=30'): Promise<Batch> {
  const { json } = await call<Batch>('POST', '/v1/batches', {
    body: { count: 20, ...body, config },
    headers: { prefer },
  })
  return json
}

/** The number of rows that belong to batches, without those of the batches in `apart`. */
async function leftovers(...apart: Batch[]) {
  const ids = apart.map(({ id }) => id)
  const [row] = await sql`
    select (select count(*)::int from credentials where batch_id <> all (${ids})) as credentials,
      (select count(*)::int from chunks where batch_id <> all (${ids})) as chunks,
      (select count(*)::int from failures where batch_id <> all (${ids})) as failures,
      (select count(*)::int from users where batch_id <> all (${ids})) as users,
      (select count(*)::int from batches
        where (password_ciphertext is not null or totp_ciphertext is not null) and id <> all (${ids})) as secrets,
      (select count(*)::int from part_changes) as changes`
  return { ...row }
}

const NOTHING = { credentials: 0, chunks: 0, failures: 0, users: 0, secrets: 0, changes: 0 }

const remove = ({ id }: Batch) => call<{ deleted_count: number }>('DELETE', `/v1/batches/${id}`)
const read = async ({ id }: Batch) => (await call<Batch>('GET', `/v1/batches/${id}`)).json

/** The login of one user, as exported. */
async function loginOf(username: string): Promise<{ password: string | null } | undefined> {
  const { json } = await call<{ users: { username: string; password: string | null }[] }>(
    'GET',
    '/v1/users/export?include=password,password_hash',
  )
  return json.users.find((user) => user.username === username)
}

async function end(batch: Batch): Promise<Batch> {
  for (let i = 0; i < 500; i++) {
    const now = await read(batch)
    if (now.finished_at !== null) return now
    await sleep(20)
  }
  throw new Error('the batch did not end')
}

t.test('deleting a completed batch leaves nothing', async (t) => {
  for (const config of [NO_HASH, PER_USER, { password_hash: { algorithm: 'bcrypt', cost: 4, distinct: 3 } }]) {
    const batch = await make(config, { count: 30 })
    t.match(await remove(batch), { json: { deleted_count: 30 } })
    t.strictSame(await leftovers(), NOTHING)
    t.match(await read(batch), { status: 'completed', created_count: 30, progress: 1, profile: { chunks: 1 } })
    t.match(await remove(batch), { json: { deleted_count: 0 } }, 'again')
  }
})

t.test('an expired batch leaves nothing', async (t) => {
  const batch = await make(PER_USER, { expires_in: 3_600 })
  await sql`update batches set expires_at = now() - interval '1 second' where id = ${batch.id}`
  const look = () => call<{ batches: object[] }>('POST', '/v1/lifecycle/expire', { body: {} })
  await look()
  for (let i = 0; i < 100 && (await leftovers())['users'] !== 0; i++) await sleep(50) // the service's own check may come first
  t.strictSame(await leftovers(), NOTHING)
  t.match((await look()).json, { batches: [], more: false })
})

t.test('a batch cancelled before or during its work, then deleted, leaves nothing', async (t) => {
  // A chunk of credentials takes 0.2 s, and there are 25.
  const slow = { algorithm: 'pbkdf2_sha256', iterations: 300_000 }
  for (const [password_hash, chunk_size, count] of [
    [slow, 4, 100],
    [NO_HASH.password_hash, 500, sized(2_000, 20_000)],
  ] as const) {
    const config = { ...PER_USER, chunk_size, max_workers: 1, password_hash }
    const batch = await make(config, { count }, 'respond-async')
    const part = sql`select 1 from ${password_hash === slow ? sql`credentials` : sql`users`} where batch_id = ${batch.id} limit 1`
    for (let i = 0; i < 500 && (await sql`${part}`).length === 0; i++) await sleep(10)
    await call('POST', `/v1/batches/${batch.id}/cancel`)
    const cancelled = await read(batch)
    const { users, credentials, chunks, secrets } = await leftovers()
    t.strictSame({ users, credentials, chunks }, { users: cancelled.created_count, credentials: users, chunks: 0 })
    t.equal(secrets, users > 0 ? 1 : 0)
    await remove(batch)
    t.strictSame(await leftovers(), NOTHING)
  }
})

t.test('credentials of users that were never created are swept', async (t) => {
  const first = await make({ ...NO_HASH, username_pattern: 'twice_{n}' }, { count: 5 })
  const second = await make({ ...PER_USER, username_pattern: 'twice_{n}' }, { count: 12 })
  t.match(second, { status: 'completed_with_failures', created_count: 7, failed_count: 5 })
  await sweepCredentials(sql)
  t.match(await leftovers(first), { credentials: 7, failures: 5, secrets: 1 })
  const third = await make({ ...PER_USER, username_pattern: 'twice_{n}' }, { count: 2 })
  await sweepCredentials(sql)
  t.match(await leftovers(first, second), { credentials: 0, failures: 2, secrets: 0 })
  for (const batch of [third, second, first]) await remove(batch)
  t.strictSame(await leftovers(), NOTHING)
})

t.test('a failed batch leaves nothing', async (t) => {
  await sql.unsafe(`alter table usersync.users add constraint refused check (role <> 'refused')`)
  const batch = await make({ ...PER_USER, role: 'refused' })
  t.match(await end(batch), {
    status: 'failed',
    created_count: 0,
    last_error: { code: 'user_refused', detail: /constraint or trigger of the users table/ },
  })
  t.strictSame(await leftovers(), NOTHING)
  await sql.unsafe('alter table usersync.users drop constraint refused')
})

t.test('a credential stays as long as a user refers to it, even if the user has moved to another batch', async (t) => {
  const ways: Record<string, (moved: { id: string }, to: Batch) => Promise<unknown>> = {
    'DELETE /v1/users/{id}': ({ id }) => call('DELETE', `/v1/users/${id}`),
    'plain SQL': ({ id }) => sql`delete from users where id = ${id}`,
    'DELETE of its new batch': (_moved, to) => remove(to),
  }
  for (const [n, [way, goes]] of Object.entries(ways).entries()) {
    for (const config of sized([[NO_HASH, PER_USER][n % 2] ?? {}], [NO_HASH, PER_USER])) {
      const [from, to] = [await make(config), await make(config)]
      const [moved] = await sql<{ id: string; username: string }[]>`
        update users set batch_id = ${to.id} where id = (select id from users where batch_id = ${from.id} order by id limit 1)
        returning id, username`
      if (!moved) return t.fail('no user')
      const login = await loginOf(moved.username)
      t.type(login?.password, 'string')
      await remove(from)
      await sweepCredentials(sql)
      t.match(await leftovers(to), { users: 0, credentials: 1, secrets: 1 }, `${way}: only the credential in use`)
      t.strictSame(await loginOf(moved.username), login)
      await goes(moved, to)
      await sweepCredentials(sql)
      t.match(await leftovers(to), NOTHING, `${way}: none`)
      await remove(to)
      t.strictSame(await leftovers(), NOTHING)
    }
  }
})

t.test('a user that got another id keeps its login', async (t) => {
  const batch = await make(PER_USER)
  const [user] = await sql<{ username: string }[]>`
    update users set id = uuid_v7(), is_test_user = true where id = (select id from users where batch_id = ${batch.id} order by id offset 5 limit 1)
    returning username`
  const login = await loginOf(user?.username ?? '')
  await sql`delete from users where batch_id = ${batch.id} and username <> ${user?.username ?? ''}`
  await sweepCredentials(sql)
  t.match(await leftovers(), { users: 1, credentials: 1, secrets: 1 })
  t.strictSame(await loginOf(user?.username ?? ''), login)
  await remove(batch)
  await sql`delete from credentials`
  await sql`update batches set password_ciphertext = null, totp_ciphertext = null`
})

t.test('a sweep does not touch unfinished batches', async (t) => {
  const other = await openTransaction(t, sql)
  await other`lock table users in share row exclusive mode`
  const batch = await make(PER_USER, {}, 'respond-async')
  for (let i = 0; i < 500 && (await leftovers())['credentials'] !== 20; i++) await sleep(10)
  await sql`insert into credential_checks (pool_id, first_id, last_id) select 1, min(id), max(id) from credentials`
  await sweepCredentials(sql)
  t.match(await leftovers(), { credentials: 20, secrets: 1 })
  await other.rollback()
  t.match(await end(batch), { status: 'completed', created_count: 20 })
  await sweepCredentials(sql)
  t.match(await leftovers(), { users: 20, credentials: 20, secrets: 1 })
  t.match(await sql`select * from credential_checks`, [])
  await remove(batch)
})

t.test('deleting a batch waits for the chunk in progress and deletes its users too', async (t) => {
  const other = await openTransaction(t, sql)
  await other`lock table users in share row exclusive mode` // the worker holds its chunk and waits here
  const batch = await make({ ...NO_HASH, chunk_size: 5, max_workers: 1 }, {}, 'respond-async')
  const waiting = () =>
    sql`select from pg_stat_activity where application_name = 'usersync worker' and wait_event_type = 'Lock'`
  for (let i = 0; i < 500 && (await waiting()).length === 0; i++) await sleep(10)
  let isOver = false
  const removal = remove(batch).finally(() => {
    isOver = true
  })
  await sleep(200)
  t.notOk(isOver)
  await other.rollback()
  t.match(await removal, { status: 200, json: { deleted_count: 5 } })
  t.match(await read(batch), { status: 'cancelled', created_count: 5 })
  t.strictSame(await leftovers(), NOTHING)
})

t.test('a running export keeps the logins of a batch that is deleted meanwhile', async (t) => {
  const count = sized(1_000, 4_000)
  const batch = await make({ ...NO_HASH, custom_attributes: { text: 'x'.repeat(3_000) } }, { count })
  const response = await fetch(`${url}/v1/users/export?format=ndjson&include=password&batch_id=${batch.id}`)
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const parts = [(await reader.read()).value]
  t.match(await remove(batch), { json: { deleted_count: count } })
  for (let next = await reader.read(); !next.done; next = await reader.read()) parts.push(next.value)
  const lines = Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0)))
    .toString()
    .trimEnd()
    .split('\n')
  t.equal(lines.length, count + 2)
  t.equal(lines.filter((line) => /"password":"/.test(line)).length, count)
  t.strictSame(await leftovers(), NOTHING)
})

/** Fails if a table has grown by more than the batch's own row and its last states. */
t.test('creating and deleting a batch every night does not grow the tables', async (t: Test) => {
  const sizes = async () => {
    const tables = await sql<{ name: string }[]>`
      select table_name as name from information_schema.tables
      where table_schema = 'usersync' and table_name not in ('batches', 'scopes', 'states', 'tombstones', 'audit_events')`
    const counts = []
    for (const { name } of tables)
      counts.push([name, (await sql`select count(*)::int as n from ${sql(name)}`)[0]?.['n']])
    return Object.fromEntries(counts)
  }
  await sweepCredentials(sql)
  const before = await sizes()
  for (let night = 0; night < sized(2, 3); night++) {
    const batch = await make(
      { ...PER_USER, chunk_size: 100, username_pattern: 'night_{n}' },
      { count: sized(300, 1_000) },
    )
    await remove(batch)
    await sweepCredentials(sql)
  }
  t.strictSame(await sizes(), before)
})
