import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { expireBatches, startExpiry } from '../../src/batches/expiry.ts'
import { connect } from '../../src/database/connection.ts'
import type { JobContext } from '../../src/jobs/job.ts'
import type { JobRun } from '../../src/jobs/job-runs.ts'
import { JOBS } from '../../src/jobs/jobs.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { testDatabase } from '../database.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A round of expiry reaches every expired batch, even if others cannot be removed. */

const sql = connect({ url: await testDatabase(), schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end())
const lines: string[] = []
const log = pino({ base: null }, { write: (line: string) => void lines.push(line) })

/** Creates a finished batch of one user that expired `seconds` ago. Returns its id. */
async function expired(username: string, seconds: number): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    with batch as (
      insert into batches (pool_id, id, status, total_requested, first_user_number, first_credential_id, username_pattern,
        email_suffix, config, started_at, finished_at, expires_at)
      values (1, uuid_v7(), 'completed', 1, 0, 0, '', '', '{}', now(), now(), now() - ${seconds}::int * interval '1 second')
      returning id
    )
    insert into users (username, email, batch_id) select ${username}, ${`${username}@example.com`}, id from batch
    returning batch_id as id`
  return row?.id ?? ''
}

const usernames = async () =>
  (await sql<{ username: string }[]>`select username from users order by 1`).map(({ username }) => username)

/** Makes changes to `table` raise `code` if `condition` holds. */
async function refuse(event: string, table: string, condition: string, code: string) {
  await sql.unsafe(`
    create function usersync.refuse() returns trigger language plpgsql as
      $$ begin raise exception 'refused' using errcode = '${code}'; end $$;
    create trigger b_refuse before ${event} on usersync.${table} for each row when (${condition}) execute function usersync.refuse()`)
  return () => sql.unsafe(`drop trigger b_refuse on usersync.${table}; drop function usersync.refuse`)
}

/** The statements that wait for a lock. */
const waiting = () => sql`
  select query from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`

t.test('20 blocked batches do not delay the 21st', async (t) => {
  for (const code of ['55P03', '23514']) {
    for (let n = 0; n < 21; n++) await expired(`blocked_${n}`, 100 - n)
    await expired('free', 1)
    const release = await refuse('delete', 'users', `old.username like 'blocked%'`, code)
    const removed = await Array.fromAsync(expireBatches(sql, { poolId: undefined, log }))
    t.match(removed, [{ deleted_count: 1 }], code)
    t.notOk((await usernames()).includes('free'))
    t.match(await Array.fromAsync(expireBatches(sql, { poolId: 1, limit: 20, log })), [])
    await release()
    t.equal((await Array.fromAsync(expireBatches(sql, { poolId: 1, limit: 20, log }))).length, 20)
    t.equal((await Array.fromAsync(expireBatches(sql, { poolId: 1, limit: 20, log }))).length, 1)
    t.strictSame(await usernames(), [])
  }
})

t.test('of two calls at once, one removes a batch and records it', async (t) => {
  const id = await expired('twice', 1)
  const recorded: string[] = []
  const record = async (_tx: unknown, { batch_id }: { batch_id: string }) => void recorded.push(batch_id)
  const expire = () => Array.fromAsync(expireBatches(sql, { poolId: undefined, log, record }))
  const both = await sql.begin(async (tx) => {
    await tx`select from pools for update`
    const calls = [expire(), expire()]
    while ((await waiting()).length < 2) await sleep(5)
    return { calls }
  })
  t.match((await Promise.all(both.calls)).flat(), [{ batch_id: id, deleted_count: 1 }])
  t.strictSame(recorded, [id])
})

t.test('the service does not wait for an expired batch that another call removes', async (t) => {
  const [removedElsewhere, other] = [await expired('elsewhere', 9), await expired('other', 1)]
  await sql.begin(async (tx) => {
    await tx`select from batches where id = ${removedElsewhere} for update`
    let isOver = false
    const expiry = Array.fromAsync(expireBatches(sql, { poolId: undefined, isRepeated: true, log })).finally(() => {
      isOver = true
    })
    while (!isOver && (await waiting()).length === 0) await sleep(5)
    t.match(await waiting(), [])
    t.match(isOver ? await expiry : [], [{ batch_id: other }])
  })
  t.match(await Array.fromAsync(expireBatches(sql, { poolId: undefined, log })), [{ batch_id: removedElsewhere }])
})

t.test('the job fails if a batch stays, but not because of one that expires while it runs', async (t) => {
  const later = await expired('later', -3_600)
  await sql.unsafe(`
    create function usersync.expire_later() returns trigger language plpgsql as
      $$ begin update usersync.batches set expires_at = now() where id = '${later}'; return null; end $$;
    create trigger expire_later after update of removed_at on usersync.batches for each row execute function usersync.expire_later()`)
  t.teardown(() => sql.unsafe('drop trigger expire_later on usersync.batches; drop function usersync.expire_later'))
  const context = { sql, log, signal: new AbortController().signal } as unknown as JobContext
  const run = async () => await JOBS['expire']?.run(context, { parameters: {} } as JobRun)
  await expired('first', 1)
  t.match(await run(), { batches: 1, deleted_count: 1 })
  const release = await refuse('delete', 'users', 'true', '23514')
  await t.rejects(run(), { message: `0 batches were removed; ${later} was not: ` })
  await release()
  t.match(await run(), { batches: 1, deleted_count: 1 })
})

t.test(
  'no batch is removed without an audit event, and an event that cannot be stored blocks only its batch',
  async (t) => {
    const [refused, other] = [await expired('refused', 9), await expired('other', 1)]
    const release = await refuse('insert', 'audit_events', `new.subject = '${refused}'`, '23514')
    const expiry = startExpiry(sql, 86_400, createMetrics(), log, 20)
    const events = async () =>
      (await sql<{ subject: string }[]>`select subject from audit_events where action = 'expiry' order by at`).map(
        ({ subject }) => subject,
      )
    const until = async (count: number) => {
      for (let i = 0; i < 500 && (await events()).length < count; i++) await sleep(10)
    }
    await until(1)
    t.strictSame([await events(), await usernames()], [[other], ['refused']])
    await release()
    await until(2)
    await expiry.stop()
    t.strictSame([await events(), await usernames()], [[other, refused], []])
    t.match(await sql`select counts from audit_events where subject = ${refused}`, [
      { counts: { deleted_count: 1, protected_count: 0 } },
    ])
    t.ok(lines.some((line) => line.includes('expired batch not removed') && line.includes(refused)))
  },
)

t.test('a pool whose credentials cannot be swept stops no other pool and no other step', async (t) => {
  const [other] = await sql<{ id: number }[]>`insert into pools (name) values ('other') returning id`
  await sql`insert into credential_checks (pool_id, first_id, last_id) values (1, 1, 1), (${other?.id ?? 0}, 1, 1)`
  await sql`insert into audit_events (action, pool, status, at) values ('old', 'default', 200, now() - interval '2 days')`
  const release = await refuse('delete', 'credential_checks', 'old.pool_id = 1', '23514')
  t.teardown(release)
  const left = async () => {
    const checks = sql<{ pool_id: number }[]>`select pool_id from credential_checks`
    const events = sql<{ action: string }[]>`select action from audit_events where action = 'old'`
    return [...(await checks).map(({ pool_id }) => pool_id), ...(await events).map(({ action }) => action)]
  }
  const expiry = startExpiry(sql, 86_400, createMetrics(), log, 20)
  for (let i = 0; i < 500 && (await left()).length > 1; i++) await sleep(10)
  await expiry.stop()
  t.strictSame(await left(), [1])
  t.ok(lines.some((line) => line.includes('expiry failed, retrying')))
})

t.test('the search for expired batches reads no removed ones, because an index contains only the others', async (t) => {
  t.match(await sql`select count(*)::int as count from batches where removed_at is null`, [{ count: 0 }])
  const plan = await sql.begin(async (tx) => {
    await tx`select set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)`
    return await tx<{ 'QUERY PLAN': string }[]>`
      explain select id from batches b where b.expires_at <= now() and b.removed_at is null
      order by b.expires_at, b.pool_id, b.id limit 20`
  })
  t.match(plan.map((line) => line['QUERY PLAN']).join('\n'), /using batches_expiring/)
})
