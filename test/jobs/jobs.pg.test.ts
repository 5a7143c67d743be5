import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cancelBatch, deleteBatch, failBatch } from '../../src/batches/end-batch.ts'
import { connect } from '../../src/database/connection.ts'
import { runJob } from '../../src/jobs/run-job.ts'
import { CHILD_ENV } from '../child-env.ts'
import { emptyDatabase, testDatabase } from '../database.ts'
import { beginLog } from '../run-record.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, startReceiver } from '../sync/receiver.ts'

const t = suite()

const LABEL = 'bücher 店'

/** The users of the largest batch. No other batch has as many. */
const MANY = sized(350, 10_000)

const JOB = fileURLToPath(new URL('../../src/job.ts', import.meta.url))
const DATABASE_URL = await testDatabase()
const DATA_DIR = await mkdtemp(join(tmpdir(), 'usersync-job-'))
t.teardown(() => rm(DATA_DIR, { recursive: true, force: true }))
const sql = connect({ url: DATABASE_URL, schema: 'usersync', connections: 2, name: 'test' })
t.teardown(() => sql.end())

interface JobOutput {
  what: string
  run: string
  parameters: Record<string, unknown>
  result: Record<string, unknown> | null
  failure: string | null
}

/** A job in its own process. */
function start(args: string[], settings: Record<string, string> = {}) {
  const env = { ...CHILD_ENV, DATABASE_URL, DATA_DIR, MAX_WORKERS: '1', ...settings }
  const child = spawn(process.execPath, [JOB, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text))
  const ended = new Promise<{ code: number | string; output: JobOutput; err: string }>((resolve) => {
    child.once('close', (code, signal) => {
      if (out + err !== '') beginLog()(out + err) // a killed job may have printed nothing
      resolve({ code: code ?? signal ?? '', output: out ? JSON.parse(out) : undefined, err })
    })
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended }
}

/** Runs a job in this process, because a separate one costs a second. */
async function run(args: string[], settings: Record<string, string> = {}) {
  let out = ''
  let err = ''
  const code = await runJob(args, {
    env: { DATABASE_URL, DATA_DIR, MAX_WORKERS: '1', ...settings },
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    stop: new AbortController().signal,
  })
  if (out + err !== '') beginLog()(out + err)
  return { code, output: (out ? JSON.parse(out) : undefined) as JobOutput, err }
}
const job = (...args: string[]) => run(args)

/** Starts a job whose first chunk has to wait, and stops its process once `begun` returns a row. */
function startBlocked(args: string[], begun: () => Promise<unknown[]>) {
  return sql.begin(async (tx) => {
    await tx`lock table credentials in share row exclusive mode`
    const { child, ended } = start(args, { CHUNK_SIZE: '50' })
    for (const deadline = Date.now() + 30_000; Date.now() < deadline && (await begun()).length === 0; ) await sleep(20)
    child.kill('SIGSTOP')
    return { child, ended }
  })
}

const userCount = async () => (await sql<{ count: number }[]>`select count(*)::int as count from users`)[0]?.count

t.test('the same job with the same parameters is the same run', async (t) => {
  const parameters = { count: 300, date: '2026-01-31', epoch: '2026-01-01T00:00:00Z', label: LABEL, seed: 's1' }
  const args = Object.entries(parameters).flatMap(([name, value]) => [`--${name}`, String(value)])
  const first = await job('create', ...args)
  const config = { seed: 's1', epoch: '2026-01-01T00:00:00.000Z' }
  t.match(first, {
    code: 0,
    output: {
      what: 'completed',
      result: { status: 'completed', created_count: 300, label: LABEL, config },
      failure: null,
    },
  })
  t.strictSame(first.output.parameters, parameters)
  const again = await job('create', ...args)
  t.match(again, {
    code: 0,
    output: { what: 'already completed', run: first.output.run, result: { created_count: 300 } },
  })
  t.equal(await userCount(), 300)
  t.strictSame(
    (await sql<{ parameters: object }[]>`select parameters from job_runs order by id limit 1`)[0]?.parameters,
    first.output.parameters,
  )
})

/** Signals that end a job, the users of its batch, and what it reports. */
const ENDS: [signal: NodeJS.Signals, count: number, report: object][] = [
  ['SIGKILL', 60, { code: 'SIGKILL' }],
  ['SIGTERM', MANY, { code: 1, output: { what: 'failed', failure: 'ended by SIGTERM' } }],
]

// A killed job leaves its run as the test of an interrupted one writes it, so the small size leaves out the kill.
for (const [signal, count, report] of ENDS.slice(sized(1, 0))) {
  t.test(`a running job is not started twice, and the same call continues it after ${signal}`, async (t) => {
    await sql`update batches set expires_at = null`
    const args = ['create', '--count', String(count), '--date', '2026-03-01']
    const begun = () => sql`select from batches where total_requested = ${count} and status = 'running'`
    const { child, ended } = await startBlocked(args, begun)
    t.match(await job(...args), { code: 3, output: { what: 'runs in another process' } })
    for (const each of [signal, 'SIGCONT'] as const) child.kill(each)
    t.match(await ended, report)
    const second = await job(...args)
    t.match(second, { code: 0, output: { what: /^completed$/, result: { created_count: count } } })
    t.equal((await sql`select from batches where total_requested = ${count}`).length, 1, 'it is the same batch')
    t.match(await sql`select attempts from job_runs where id = ${second.output.run}`, [{ attempts: 2 }])
    await sql`delete from users where batch_id in (select id from batches where total_requested = 60)`
  })
}

t.test('expire, verify-states and sync do their work', async (t) => {
  await sql`update batches set expires_at = now() - interval '1 minute' where label = ${LABEL}`
  await sql.begin(async (tx) => {
    await tx`select from users u join batches b on b.id = u.batch_id where b.label = ${LABEL} limit 1 for update of u`
    const failure = /^0 batches were removed; .* the same call continues$/
    t.match(await job('expire'), { code: 1, output: { what: 'failed', failure } }, 'a user of the batch is locked')
  })
  const expired = await job('expire')
  t.match(expired, { code: 0, output: { result: { batches: 1, deleted_count: 300, protected_count: 0 } } })
  t.same(await sql`select from users u join batches b on b.id = u.batch_id where b.label = ${LABEL}`, [])
  t.match(await job('verify-states'), {
    code: 0,
    output: { result: { pools: [{ pool: 'default', user_count: MANY }] } },
  })

  const receiver = await startReceiver(t)
  await sql`
    insert into targets (pool_id, name, url, remote_pool, test_users_only, bulk_users_only, interval_seconds, next_run_at)
    values (1, 'tester', ${receiver.url}, 'default', true, false, null, null),
      (1, 'other', ${receiver.url}, 'default', true, false, 1, now())`
  const refused = await job('sync', '--targets', 'tester')
  t.match(refused, { code: 1, output: { what: 'failed', failure: /tester: The peer answers 401/ } })
  receiver.misbehave = (request) => {
    request.headers.authorization = `Bearer ${RECEIVER_KEY}`
    return 'go on'
  }
  const synced = await job('sync', '--targets', 'tester')
  t.match(synced, {
    code: 0,
    output: { run: refused.output.run, result: { targets: [{ target: 'tester', failure: null }] } },
  })
  t.equal(receiver.held.lines.size, MANY)
})

t.test('a completed job reports users that could not be created in its result', async (t) => {
  await sql`
    insert into users (username, email) select name, name
    from (select 'testuser_' || next_user_number || '@example.com' as name from pools where id = 1) p`
  t.match(await job('create', '--count', '10', '--date', '2026-06-02'), {
    code: 0,
    output: { what: 'completed', result: { status: 'completed_with_failures', created_count: 9, failed_count: 1 } },
  })
})

t.test('a job does its own work only, and the audit trail lists what it changed', async (t) => {
  t.same(await sql`select from sync_runs where target = 'other'`, [], 'no push to a target that was due')
  t.match(await sql`select distinct action, actor from audit_events order by action`, [
    { action: 'job create', actor: null },
    { action: 'job expire', actor: null },
    { action: 'job sync', actor: null },
  ])
  t.match(await sql`select pool, counts from audit_events where action = 'job expire'`, [
    { pool: 'default', counts: { deleted_count: 300, protected_count: 0 } },
  ])
})

t.test('distribute says what is missing on a PostgreSQL without Citus', async (t) => {
  t.match(await job('distribute'), { code: 1, output: { failure: /has no Citus: .* create extension citus$/ } })
})

t.test('verify-states finds a stored state that differs from the users', async (t) => {
  await sql`update scopes set word_1 = word_1 + 1 where pool_id = 1 and not test_users_only and not bulk_users_only and batch_id = '00000000-0000-0000-0000-000000000000'`
  const { code, output } = await job('verify-states', '--date', '2026-04-01')
  t.match(
    { code, output },
    { code: 1, output: { failure: /"batch_id":null,"test_users_only":false,"bulk_users_only":false/ } },
  )
  await sql`update scopes set word_1 = word_1 - 1 where pool_id = 1 and not test_users_only and not bulk_users_only and batch_id = '00000000-0000-0000-0000-000000000000'`
  t.match(await job('verify-states', '--date', '2026-04-01'), { code: 0 }, 'the same run starts again')
})

const LOST = /^the batch .* was cancelled or deleted when \d+ of its users were created/

/** Events that end a batch while a job waits for it, and the failure that the job reports. */
const LOSSES: [name: string, lose: (id: string) => Promise<unknown>, failure: RegExp][] = [
  ['cancelled', (id) => cancelBatch(sql, 1, id), LOST],
  ['deleted', (id) => deleteBatch(sql, 1, id), LOST],
  [
    'failed',
    (id) => failBatch(sql, 1, id, 'internal_error'),
    /^the batch .* failed when \d+ of its users were created/,
  ],
]

t.test('an interrupted run continues with its last batch, unless that was lost', async (t) => {
  const args = ['create', '--count', '501', '--date', '2026-06-01']
  // A deletion cancels first, so the small size leaves out the cancellation.
  for (const [name, lose, failure] of LOSSES.slice(sized(1, 0))) {
    const ended = run(args, { CHUNK_SIZE: '1' })
    const begun = () => sql<{ id: string }[]>`
      select id from batches where total_requested = 501 and status = 'running'`
    for (const deadline = Date.now() + 60_000; Date.now() < deadline && (await begun()).length === 0; ) await sleep(20)
    const [batch] = await begun()
    await lose(batch?.id ?? '')
    t.match(await ended, { code: 1, output: { what: 'failed', result: null, failure } }, name)
  }

  const cutOff = () => sql`update job_runs set status = 'running', result = null where parameters @> '{"count": 501}'`
  const batchOf = async () => {
    const { code, output } = await job(...args)
    const result = { status: 'completed', created_count: 501 }
    t.match({ code, output }, { code: 0, output: { what: /^completed$/, result } })
    return String(output.result?.['id'])
  }
  const one = await batchOf()
  t.match(
    await sql`select count(*)::int from users where batch_id = ${one}`,
    [{ count: 501 }],
    'in a batch after those',
  )
  await cutOff()
  t.equal(await batchOf(), one)
  await deleteBatch(sql, 1, one)
  await cutOff()
  t.not(await batchOf(), one)
})

t.test('--help lists the jobs and parameters, also behind the name of a job', async (t) => {
  for (const args of [['--help'], ['create', '--help']]) {
    let out = ''
    const stdout = { write: (text: string) => (out += text) }
    const stop = new AbortController().signal
    t.equal(await runJob(args, { env: {}, stdout, stderr: { write: () => {} }, stop }), 0)
    t.match(out, /create --count N/)
  }
})

t.test('a wrong call lists the jobs and parameters', async (t) => {
  t.match(await job('delete-everything'), {
    code: 2,
    err: /no job delete-everything: create, distribute, expire, prune, sync, verify-states/,
  })
  t.match(await job(), { code: 2, err: /no job without a name/ })
  t.match(await job('constructor'), { code: 2, err: /no job constructor: create/ })
  t.match(await job('expire', '--constructor', '3'), { code: 2, err: /no parameter --constructor: / })
  t.match(await job('expire', '--poool', 'x'), {
    code: 2,
    err: /no parameter --poool: \[--pool TEXT\] \[--date YYYY-MM-DD\]/,
  })
  t.match(await job('expire', '--pool', 'nowhere'), { code: 1, output: { failure: /^pool_not_found/ } })
  for (const args of [['expire'], ['create', '--count', '1'], ['sync', '--targets', 'tester']]) {
    const { code, output } = await job(...args, '--pool', 'default#&pool=default')
    t.match({ code, output }, { code: 1, output: { failure: /^invalid_request: querystring.pool/ } }, args.join(' '))
  }
  t.match(await run(['prune'], { PORT: 'x' }), { code: 2, err: /PORT expects/ })
})

t.test('SCHEMA_MODE decides who creates the schema, under any name, and jobs that start at once agree', async (t) => {
  const settings = { DATABASE_URL: await emptyDatabase(), DB_SCHEMA: 'load_test' }
  const never = { ...settings, SCHEMA_MODE: 'never' }
  t.match(await run(['prune'], never), { code: 1, err: /the schema load_test does not exist, and SCHEMA_MODE/ })
  t.match(await run(['prune'], { ...settings, SCHEMA_MODE: 'embedded' }), { code: 1, err: /does not exist/ })
  const both = await Promise.all(['2026-05-01', '2026-05-02'].map((date) => run(['prune', '--date', date], settings)))
  t.match(both, [{ code: 0 }, { code: 0 }])
  t.match(await run(['prune', '--date', '2026-05-03'], never), { code: 0 })
  const old = connect({ url: settings.DATABASE_URL, schema: 'load_test', connections: 1, name: 'test' })
  await old`delete from __drizzle_migrations where created_at = (select max(created_at) from __drizzle_migrations)`
  await old.end()
  t.match(await run(['prune', '--date', '2026-05-04'], never), { code: 1, err: /has another version/ })
})
