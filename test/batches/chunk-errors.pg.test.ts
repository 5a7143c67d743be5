import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Batch } from '../../src/batches/batches.ts'
import { workChunk } from '../../src/batches/chunks.ts'
import { markCompleted, markRunning, unfinishedBatches } from '../../src/batches/unfinished.ts'
import { connect } from '../../src/database/connection.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { suite } from '../suite.ts'
import { KEY, newBatch } from './new-batch.ts'

const t = suite()

/* Every batch ends, or says what it is waiting for. */

const { sql, call } = await sharedService(t)

const NO_HASH = { password_hash: { algorithm: 'none' } }

async function begin(config: object, count = 400): Promise<string> {
  const { json } = await call<Batch>('POST', '/v1/batches', { body: { count, config: { ...NO_HASH, ...config } } })
  return json.id
}

const readBatch = async (id: string) => (await call<Batch>('GET', `/v1/batches/${id}`)).json

async function until(id: string, isSo: (batch: Batch) => boolean, read = readBatch): Promise<Batch> {
  for (const deadline = Date.now() + 30_000; ; await sleep(50)) {
    const batch = await read(id)
    if (isSo(batch)) return batch
    if (Date.now() > deadline) throw new Error(`the batch is still ${JSON.stringify(batch)}`)
  }
}

const ended = (id: string) => until(id, ({ finished_at }) => finished_at !== null)
/** If two workers end a batch at once, one deletes the chunks that it has locked a moment after the other has ended it. */
async function untilNoChunk(id: string): Promise<void> {
  const openChunks = () => sql`select from chunks where batch_id = ${id}`
  for (const deadline = Date.now() + 30_000; (await openChunks()).length > 0; await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`the batch ${id} still has chunks`)
  }
}

/** Makes a statement that inserts more than `limit` users raise `code`, as the statement timeout does. */
async function refuseMoreThan(t: Test, limit: number, code: string): Promise<void> {
  await sql.unsafe(`
    create function usersync.too_many() returns trigger language plpgsql as $$ begin
      if (select count(*) from new_rows) > ${limit} then raise exception 'too many' using errcode = '${code}'; end if;
      return null;
    end $$;
    create trigger too_many after insert on usersync.users
    referencing new table as new_rows for each statement execute function usersync.too_many()`)
  t.teardown(() => sql.unsafe('drop trigger too_many on usersync.users; drop function usersync.too_many'))
}

t.test('a chunk that hits the statement timeout is split in half', async (t) => {
  await refuseMoreThan(t, 100, '57014')
  const id = await begin({ chunk_size: 400 })
  const running = await until(id, ({ last_error, finished_at }) => last_error !== null || finished_at !== null)
  t.match(running, { status: 'running', last_error: { code: 'statement_timeout', detail: /halves/ } })
  t.match(await ended(id), { status: 'completed', created_count: 400, last_error: null, profile: { chunks: 4 } })
})

t.test('a timeout in a later statement of a chunk undoes the earlier ones', async (t) => {
  await sql.unsafe(`
    create function usersync.too_late() returns trigger language plpgsql as $$ begin
      if exists (
        select from new_rows n join usersync.chunks c on c.batch_id = n.batch_id and c.timeouts = 0 where n.username = 'piece_39'
      ) then raise exception 'too late' using errcode = '57014'; end if;
      return null;
    end $$;
    create trigger too_late after insert on usersync.users
    referencing new table as new_rows for each statement execute function usersync.too_late()`)
  t.teardown(() => sql.unsafe('drop trigger too_late on usersync.users; drop function usersync.too_late'))
  const attributes = { n: { $int: [1, 9] }, text: 'x'.repeat(20_000) } // an INSERT has at most 524,288 characters
  const id = await begin({ chunk_size: 40, username_pattern: 'piece_{n}', custom_attributes: attributes }, 40)
  t.match(await ended(id), { status: 'completed', created_count: 40, failed_count: 0, profile: { chunks: 2 } })
})

t.test('splitting also works when users are inserted one by one because of a conflict', async (t) => {
  await sql`insert into users (username, email) values ('half_5', 'half_5@example.com')`
  await refuseMoreThan(t, 100, '57014')
  const id = await begin({ chunk_size: 200, username_pattern: 'half_{n}' }, 200)
  t.match(await ended(id), { status: 'completed_with_failures', created_count: 199, failed_count: 1 })
  t.equal((await sql`select from failures where batch_id = ${id}`).length, 1)
})

t.test('after the third timeout the batch fails and reports the reason', async (t) => {
  await refuseMoreThan(t, 10, '57014')
  const id = await begin({ chunk_size: 400 })
  t.match(await ended(id), {
    status: 'failed',
    created_count: 0,
    last_error: { code: 'statement_timeout', detail: /smaller custom_attributes or a smaller chunk_size/ },
  })
  await untilNoChunk(id)
})

t.test('a batch fails immediately if a rule of the database rejects its users', async (t) => {
  for (const code of ['23514', '22001', '54000', 'P0001']) {
    await t.test(code, async (t) => {
      await refuseMoreThan(t, 10, code)
      const id = await begin({ chunk_size: 100 })
      t.match(await ended(id), { status: 'failed', created_count: 0, last_error: { code: 'user_refused' } })
      await untilNoChunk(id)
    })
  }
})

t.test('a rule checked at commit also fails the batch, and users created before stay', async (t) => {
  await sql.unsafe(`
    create function usersync.refuse() returns trigger language plpgsql as $$ begin
      if new.username = 'late_250@example.com' then raise exception 'no' using errcode = '23514'; end if;
      return null;
    end $$;
    create constraint trigger refuse after insert on usersync.users deferrable initially deferred
    for each row execute function usersync.refuse()`)
  t.teardown(() => sql.unsafe('drop trigger refuse on usersync.users; drop function usersync.refuse'))
  const id = await begin({ chunk_size: 100, max_workers: 1, username_pattern: 'late_{n}@example.com' })
  t.match(await ended(id), { status: 'failed', created_count: 200, last_error: { code: 'user_refused' } })
  t.match(await sql`select count(*)::int as count from users where batch_id = ${id}`, [{ count: 200 }])
})

t.test('a password that cannot be decrypted fails the batch', async (t) => {
  const alone = connect({ url: await testDatabase(), schema: 'usersync', connections: 1, name: 'test' })
  t.teardown(() => alone.end())
  const id = await newBatch(alone)
  const outcome = await workChunk(alone, 1, id, Buffer.alloc(32, 'another key'))
  t.match(outcome, { outcome: 'failed', code: 'password_unreadable' })
  t.match(await workChunk(alone, 1, id, KEY), { outcome: 'done', kind: 'credentials' }, 'the chunk is available again')
})

t.test('neither workers nor the dispatcher wait for a batch that is being deleted', async (t) => {
  const alone = connect({
    ...{ url: await testDatabase(), schema: 'usersync', connections: 3, name: 'test' },
    lockTimeoutMs: 500, // a wait would end in an error
  })
  t.teardown(() => alone.end())
  const id = await newBatch(alone)
  const read = async () => (await unfinishedBatches(alone, 10)).find((batch) => batch.id === id)
  const whileLocked = async (work: () => Promise<unknown>) => {
    const deletion = await openTransaction(t, alone)
    await deletion`select from batches where id = ${id} for update`
    const result = await work()
    await deletion.rollback()
    return result
  }
  const batch = await read()
  if (!batch) return t.fail('the batch is finished')
  t.match(await whileLocked(() => workChunk(alone, 1, id, KEY)), { outcome: 'none' })
  const wasLocked = await alone`select from chunks where batch_id = ${id} and xmax::text <> '0'`
  t.equal(wasLocked.length, 0, 'a deletion would skip a locked chunk, and leave it')
  await whileLocked(() => markRunning(alone, batch))
  t.match(await read(), { status: 'queued' })
  await markRunning(alone, batch)
  for (const kind of ['credentials', 'users', 'users'])
    t.match(await workChunk(alone, 1, id, KEY), { outcome: 'done', kind })
  await whileLocked(() => markCompleted(alone, batch))
  t.match(await read(), { status: 'running' })
  await markCompleted(alone, batch)
  t.equal(await read(), undefined)
})

t.test('a batch whose workers cannot connect reports it, and continues when they can', async (t) => {
  const role = `limited_${randomBytes(6).toString('hex')}`
  const url = new URL(await testDatabase())
  await sql.unsafe(`create role ${role} login password 'limited' in role ${url.username}`)
  t.teardown(() => sql.unsafe(`drop role ${role}`))
  Object.assign(url, { username: role, password: 'limited' })
  const limited = await startService(t, { DATABASE_URL: url.href, MAX_WORKERS: '2' })
  const read = async () => (await limited.call<Batch>('GET', `/v1/batches/${batch.id}`)).json

  await sql.unsafe(`alter role ${role} connection limit 1`)
  const body = { count: 10, config: NO_HASH }
  const { json: batch } = await limited.call<Batch>('POST', '/v1/batches', { body })
  const refused = await until(batch.id, ({ last_error }) => last_error !== null, read)
  t.match(refused, { last_error: { code: 'connections_exhausted', detail: /CONNECTION LIMIT.*DATABASE_CONNECTIONS/ } })
  t.match(
    limited.log.filter((line) => line.includes('chunk failed, retrying')),
    [/"reason":"53300"/],
  )
  const tries = () => limited.log.filter((line) => line.includes('chunk failed, retrying')).length
  const before = tries()
  await sleep(2_000)
  t.ok(tries() - before <= 4, `${tries() - before} more attempts in 2 s`)
  await sql.unsafe(`alter role ${role} connection limit -1`)
  t.match(await until(batch.id, ({ finished_at }) => finished_at !== null, read), {
    status: 'completed',
    last_error: null,
  })
})
