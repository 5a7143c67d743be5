import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import type { Test } from 'tap'
import { forgetEvents } from '../../src/audit/audit-events.ts'
import { failBatch } from '../../src/batches/end-batch.ts'
import { expireBatches } from '../../src/batches/expiry.ts'
import { sweepCredentials } from '../../src/batches/unused-credentials.ts'
import { batchKey, missingUsersReason } from '../../src/jobs/create.ts'
import type { JobContext } from '../../src/jobs/job.ts'
import { beginRun, endRun, findOrMakeRun, type JobRun, lockRun } from '../../src/jobs/job-runs.ts'
import { JOBS } from '../../src/jobs/jobs.ts'
import { isStandby, stateAt } from '../../src/standbys/open-caught-up.ts'
import { forgetStep, pruneStep } from '../../src/states/retention.ts'
import { releaseRuns, renewLeases, withoutWideStates } from '../../src/sync/sync-runs.ts'
import { untilReady } from '../faults/client.ts'
import type { Answer, Service } from '../http/service.ts'
import { sized } from '../size.ts'
import { BATCHES, PER_BATCH } from './fill-pool.ts'
import { runLeaseStatements } from './lease-statements.ts'
import { runSinkStatements } from './sink-statements.ts'

/** The users of the pool `later`. */
export const USERS = sized(4_500, 12_000)
/** The users of a batch that is deleted completely. */
const MANY = sized(1_100, 3_000)
/** The users of other batches and imports. */
const SOME = sized(400, 1_200)

/** The id of a process, a run and a batch that do not exist. */
const HOLDER = '01890000-0000-7000-8000-ffffffffffff'

export interface Watched {
  service: Service
  /** A connection that is not watched. */
  sql: Sql
  /** A watched connection with the settings of the service. */
  direct: Sql
  /** The address with which statements are watched. */
  url: string
  /** The pool `later`, filled by fillPool. */
  poolId: number
  /** Runs `work`, which returns or changes `size` rows, and checks its statements. */
  step: <Result>(name: string, size: number, work: () => Promise<Result>) => Promise<Result>
}

/** Runs every statement of the service, through its routes where there is one. */
export async function runEveryStatement(t: Test, watched: Watched): Promise<void> {
  const { service, sql, direct, poolId, step } = watched
  const { app, call, url } = service
  const ok = async <Json = Record<string, unknown>>(
    method: string,
    path: string,
    body?: object | string,
    type = '',
  ) => {
    const headers = { ...(type && { 'content-type': type }), prefer: 'wait=60' }
    const answer = await call<Json>(method, path, body === undefined ? { headers } : { body, headers })
    if (answer.status >= 300)
      throw new Error(`${method} ${path} answers ${answer.status}: ${answer.raw.toString().slice(0, 500)}`)
    return answer
  }
  const state = async (filter = '') =>
    (await ok<{ state: string }>('GET', `/v1/states/current?pool=later${filter}`)).json.state
  const exported = (query: string) => ok('GET', `/v1/users/export?pool=later&format=ndjson&${query}`)
  const pages = async (path: string) => {
    const first: Answer<{ items: { id: string; username?: string }[]; next_cursor: string | null }> = await ok(
      'GET',
      path,
    )
    if (first.json.next_cursor) await ok('GET', `${path}&cursor=${first.json.next_cursor}`)
    return first.json.items
  }

  await step('start', 1, () => untilReady(url))
  await step('state and metrics', 1, async () => {
    await state()
    await ok('GET', '/metrics')
  })
  // One of the six rows that a step may read for each: every batch is counted once.
  await step('counts', BATCHES / 6, () => ok('GET', '/v1/stats?pool=later'))
  const [, , user] = await step('listings of users', 100, async () => {
    for (const sort of ['id', '-created_at,username', 'created_at', 'created_at,-username', 'username', '-username']) {
      await pages(`/v1/users?pool=later&sort=${sort}`)
    }
    return await pages('/v1/users?pool=later&sort=-id')
  })
  const { batch_id: batch } = user as unknown as { batch_id: string }
  await step('listings of the users of a batch', PER_BATCH, async () => {
    for (const sort of ['id', '-id', '-created_at,username', 'username']) {
      await pages(`/v1/users?pool=later&sort=${sort}&batch_id=${batch}`)
    }
  })
  await step('one user', 1, async () => {
    const path = `/v1/users/${user?.id}?pool=later`
    await ok('GET', path)
    await ok('GET', `/v1/users?pool=later&username=${encodeURIComponent(user?.username ?? '')}`)
    await call('GET', `/v1/users/${user?.id}/totp?pool=later`)
    await ok('PATCH', path, { role: 'changed' })
    await ok('DELETE', path)
    await call('DELETE', path)
  })
  await step('other listings', 100, async () => {
    for (const path of ['batches', 'sync/runs', 'targets', 'templates', 'audit']) {
      await pages(`/v1/${path}?pool=later`)
    }
    await pages('/v1/audit?limit=100')
    await pages('/v1/pools?limit=1')
    for (const status of ['completed', 'running', 'failed']) await pages(`/v1/batches?pool=later&status=${status}`)
    await pages('/v1/sync/runs?pool=later&target=target7')
    await pages(`/v1/batches/01890000-0000-7000-8000-000000000001/failures?pool=later`)
  })
  await step('batches past their time', 100, () => pages('/v1/lifecycle/candidates?pool=later'))
  await step('old batches', BATCHES, () => pages('/v1/lifecycle/candidates?pool=later&age_days=1'))
  await step('templates', 1, async () => {
    await ok('POST', '/v1/templates', { pool: 'later', name: 'made', config: {} })
    await ok('PUT', '/v1/templates/made?pool=later', { config: {} })
    await ok('GET', '/v1/templates/made?pool=later')
    await ok('GET', '/v1/templates/export?pool=later')
    await ok('DELETE', '/v1/templates/made?pool=later')
  })

  for (const query of [
    '',
    'include=password_hash',
    'shard=1/4',
    `batch_id=${batch}`,
    'shard=1/4&include=password_hash',
  ]) {
    await step(`full export ${query}`, USERS, () => exported(query))
  }
  await step('states of parts', USERS, () => state('&shard=1/4'))
  await step('files for systems under test', USERS, async () => {
    for (const query of ['', '&shard=1/4', `&batch_id=${batch}`]) {
      await ok('GET', `/v1/users/export?pool=later&format=cognito${query}`)
      await call('GET', `/v1/users/export?pool=later&format=django${query}`) // refuses those without a hash
    }
  })
  await step('delta of a few', 20, async () => {
    const [base, ofBatch] = [await state(), await state(`&batch_id=${batch}`)]
    await sql`
      update users set role = 'again' where pool_id = ${poolId} and username = any(select 'u' || 3000 + n from generate_series(1, 20) n)`
    await exported(`base=${base}`)
    await exported(`base=${ofBatch}&batch_id=${batch}`)
    await exported(`base=${base}&include=password_hash`)
    await exported(`base=${base}&shard=0/2`)
    await ok('GET', `/v1/exports/${base}/${await state()}?pool=later`)
  })
  await step('delta of users that moved to another batch', PER_BATCH, async () => {
    const [base, ofBatch] = [await state(), await state(`&batch_id=${batch}`)]
    await sql`
      update users set batch_id = '01890000-0000-7000-8000-00000000000f' where pool_id = ${poolId} and batch_id = ${batch}`
    await exported(`base=${base}`)
    await exported(`base=${ofBatch}&batch_id=${batch}`)
  })

  const config = {
    username_pattern: 'many_{n}@example.com',
    password_mode: 'per_user',
    password_hash: { algorithm: 'none' },
  }
  const many = await step('a batch', MANY, () => ok('POST', '/v1/batches', { pool: 'later', count: MANY, config }))
  t.match(many.json, { status: 'completed', created_count: MANY })
  const population = {
    ...config,
    username_pattern: 'again_{n}@example.com',
    seed: 'again',
    epoch: '2026-01-01T00:00:00Z',
  }
  await step('a preview of a batch', 100, () =>
    ok('POST', '/v1/batches/preview', { pool: 'later', count: 100, config: population }),
  )
  const again = await step('a population that is deleted and created again', 2_000, async () => {
    const body = { pool: 'later', count: 500, config: population }
    const { id } = (await ok<{ id: string }>('POST', '/v1/batches', body)).json
    await ok('DELETE', `/v1/batches/${id}?pool=later`)
    return await ok('POST', '/v1/batches', body)
  })
  t.match(again.json, { status: 'completed', created_count: 500 })
  await step('a batch whose names are taken', MANY, () =>
    ok('POST', '/v1/batches', { pool: 'later', count: MANY, config }),
  )
  const full = await state()
  await step('deletion of a batch', MANY, () => ok('DELETE', `/v1/batches/${many.json['id']}?pool=later`))
  const deletions = await step('delta of a deleted batch', MANY, () => exported(`base=${full}`))
  t.match(JSON.parse(deletions.raw.toString().split('\n')[0] ?? ''), { counts: { deleted: MANY } })
  await step('a batch that is cancelled', SOME, async () => {
    const body = { pool: 'later', count: SOME, config: { ...config, username_pattern: 'c_{id}', chunk_size: 100 } }
    const made = await call<{ id: string }>('POST', '/v1/batches', { body, headers: { 'idempotency-key': 'one' } })
    await call('POST', '/v1/batches', { body, headers: { 'idempotency-key': 'one' } })
    await ok('POST', `/v1/batches/${made.json.id}/cancel?pool=later`)
  })

  await step('a chunk that is split', SOME, async () => {
    await sql`
      create function refuse_many() returns trigger language plpgsql as $$ begin
        if (select count(*) from new_rows) > 100 then raise exception 'too many' using errcode = 'query_canceled'; end if;
        return null;
      end $$`
    await sql`
      create trigger refuse_many after insert on users referencing new table as new_rows
      for each statement execute function refuse_many()`
    const body = { pool: 'later', count: SOME, config: { ...config, username_pattern: 'h_{id}' } }
    const { id } = (await call<{ id: string }>('POST', '/v1/batches', { body })).json
    for (let error = null; error === null; await sleep(10)) {
      error = (await ok<{ last_error: unknown }>('GET', `/v1/batches/${id}?pool=later`)).json.last_error
    }
    await ok('POST', `/v1/batches/${id}/cancel?pool=later`)
    await sql`drop function refuse_many cascade`
  })

  const rows = (role: string) =>
    Array.from({ length: SOME }, (_, n) => JSON.stringify({ username: `import_${n}@example.com`, role })).join('\n')
  for (const [mode, role] of [
    ['fail', 'a'],
    ['skip', 'a'],
    ['update', 'b'],
  ]) {
    await step(`an import, on_conflict=${mode}`, SOME, () =>
      ok('POST', `/v1/users/import?pool=later&on_conflict=${mode}`, rows(role ?? ''), 'application/x-ndjson'),
    )
  }

  const whole = 'test_users_only=false'
  await ok('POST', '/v1/pools', { name: 'mirror' })
  const everybody = (await exported(whole)).raw.toString()
  const put = (body: string) => ok('PUT', '/v1/replica/users?pool=mirror', body, 'application/x-ndjson')
  await step('a full export into a replica', USERS, () => put(everybody))
  await step('a delta into a replica', 120, async () => {
    const base = await state(`&${whole}`)
    await sql`
      update users set role = 'more' where pool_id = ${poolId} and username = any(select 'u' || 3100 + n from generate_series(1, 60) n)`
    await sql`
      delete from users where pool_id = ${poolId} and username = any(select 'u' || 3200 + n from generate_series(1, 60) n)`
    await put((await exported(`${whole}&base=${base}`)).raw.toString())
  })
  await step('a full export into a replica of test users', USERS, async () => {
    await ok('POST', '/v1/pools', { name: 'copy' })
    await ok('PATCH', '/v1/pools/copy', { replica: 'test_users' })
    await ok('PUT', '/v1/replica/users?pool=copy', (await exported('')).raw.toString(), 'application/x-ndjson')
  })
  await step('export of a replica', USERS, () => ok('GET', '/v1/replica/users?pool=mirror'))
  await step('a target', 100, async () => {
    const body = { pool: 'later', name: 'self', url, remote_pool: 'mirror', filter: { test_users_only: false } }
    await ok('POST', '/v1/targets', body)
    await ok('PATCH', '/v1/targets/self?pool=later', { interval_seconds: 3600 })
    await ok('PATCH', '/v1/targets/self?pool=later', { interval_seconds: null })
    await ok('GET', '/v1/targets/self?pool=later')
    await sql`update users set role = 'less' where pool_id = ${poolId} and username = 'u3101'`
    const { id } = (await ok<{ id: string }>('POST', '/v1/sync', { pool: 'later', target: 'self' })).json
    for (let status = 'queued'; status === 'queued' || status === 'running'; await sleep(20)) {
      status = (await ok<{ status: string }>('GET', `/v1/sync/runs/${id}?pool=later`)).json.status
    }
    await ok('GET', '/v1/sync/status?pool=later')
    await withoutWideStates(direct, poolId, [])
  })
  await step('a comparison with a target', USERS, () =>
    ok('POST', '/v1/sync/verify', { pool: 'later', target: 'self' }),
  )
  await step('runs that are renewed and released', 1, async () => {
    await renewLeases(direct, [HOLDER], 30_000)
    await releaseRuns(direct, [HOLDER])
    await t.rejects(failBatch(direct, poolId, HOLDER, 'internal_error'), 'no such batch')
  })
  await step('deletion of a target', 1, () => ok('DELETE', '/v1/targets/self?pool=later'))

  await runSinkStatements(t, watched, USERS)
  await step('expiry', PER_BATCH, async () => {
    await sql`update batches set expires_at = now() where pool_id = ${poolId} and id = ${batch}`
    await ok('POST', '/v1/lifecycle/expire', { pool: 'later', dry_run: true })
    await Array.fromAsync(expireBatches(direct, { poolId: undefined, limit: 20, isRepeated: true, log: app.log }))
    await ok('POST', '/v1/lifecycle/expire', { pool: 'later' })
    await Promise.all([sweepCredentials(direct), forgetEvents(direct, 1_000)])
  })
  await step('standbys', 1, async () => {
    await isStandby(direct)
    await stateAt(direct, { poolId, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }, '0')
  })
  await step('pruning', 2 * MANY, async () => {
    await pruneStep(direct, poolId, 0)
    await forgetStep(direct, poolId, 0)
  })
  await step('a run of a job', USERS, async () => {
    const run = await findOrMakeRun(direct, 'verify-states', { pool: 'later' })
    await lockRun(direct, run)
    await beginRun(direct, run)
    const context = { sql: direct, signal: new AbortController().signal } as JobContext
    await endRun(direct, run, { result: (await JOBS['verify-states']?.run(context, run)) ?? null, failure: null })
  })
  await step('the batch of a job', 1, async () => {
    await batchKey(direct, { id: HOLDER } as JobRun, 'later')
    await missingUsersReason(direct, 'later', many.json['id'] as string)
    await missingUsersReason(direct, 'later', batch)
  })
  await runLeaseStatements(t, watched, USERS)
  await step('deletion of a pool', 2 * USERS, async () => {
    await ok('PATCH', '/v1/pools/mirror', { replica: false })
    await ok('GET', '/v1/pools/mirror')
    await ok('DELETE', '/v1/pools/mirror')
  })
}
