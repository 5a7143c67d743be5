import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { readUserLines } from '../../src/export/user-lines.ts'
import { connectForLeases } from '../../src/leases/leasing-connections.ts'
import { settle, settleUnseen } from '../../src/sync/sinks/announcements.ts'
import { requireClaim } from '../../src/sync/sinks/claim.ts'
import { stillDue } from '../../src/sync/sinks/due-users.ts'
import { readOpenResends, requestResends } from '../../src/sync/sinks/resends.ts'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { startSystem } from '../sinks/sink.ts'
import { DJANGO } from '../sinks/systems.ts'
import type { Watched } from './every-statement.ts'

const NOBODY = '01890000-0000-7000-8000-ffffffffffff'

/** Runs the statements of sinks. `users` is about how many users the pool has. */
export async function runSinkStatements(
  t: Test,
  { service: { call }, sql, direct, url, poolId, step }: Watched,
  users: number,
): Promise<void> {
  const system = await startSystem(t, DJANGO)
  const ended = async (path: string, body?: object) => {
    const answer = await call<SyncRun>('POST', path, body === undefined ? {} : { body })
    if (answer.status !== 202) throw new Error(`${path} answers ${answer.status}: ${answer.raw}`)
    for (;;) {
      const { json } = await call<SyncRun>('GET', `/v1/sync/runs/${answer.json.id}?pool=later`)
      if (json.finished_at !== null) return json
      await sleep(20)
    }
  }
  const sync = (members = {}) => ended('/v1/sync', { pool: 'later', target: 'sink', ...members })
  const some = (from: number) => sql`select 'u' || ${from}::int + n from generate_series(1, 20) n`
  await step('a new sink', users, async () => {
    const members = { kind: 'postgres', url: system.url, preset: 'django' }
    await call('POST', '/v1/targets', { body: { pool: 'later', name: 'sink', ...members } })
    await call('POST', '/v1/sync', { body: { pool: 'later', target: 'sink', dry_run: true } })
    t.match(await sync(), { kind: 'full' })
  })
  // Statistics of a moment in the middle of a large run, when all users were due.
  await sql`update sink_users set is_due = true where pool_id = ${poolId}`
  await sql`analyze sink_users`
  await sql`update sink_users set is_due = false, code = null where pool_id = ${poolId}`
  await sql`vacuum sink_users` // as autovacuum does after a large run: the index of due users is full of dead entries
  await step('an unchanged sink', 100, async () => {
    t.match(await sync(), { kind: 'unchanged', status: 'succeeded', failure: null })
    await call('GET', '/v1/sync/status?pool=later')
  })
  await step('a delta into a sink', 40, async () => {
    await sql`update users set role = 'sunk' where pool_id = ${poolId} and username = any(${some(4_000)})`
    await sql`update users set username = 'own1@example.com' where pool_id = ${poolId} and username = 'u4100'`
    await sql`delete from users where pool_id = ${poolId} and username = any(${some(4_200)})`
    t.match(await sync(), { kind: 'delta', failure: 'users_refused', deleted_count: 20 })
    await call('GET', '/v1/targets/sink/failures?pool=later')
  })
  await step('users of a sink that are gone on both sides', 20, async () => {
    await sql`
      insert into sink_users (pool_id, target, user_id, is_due)
      select ${poolId}, 'sink', uuid_v7(), true from generate_series(1, 20)`
    await sync()
  })
  await step('transactions whose end is not known', 20, async () => {
    const users = await sql<{ id: string }[]>`select id from users where username = any(${some(4_000)})`
    await sql`
      insert into sink_announcements (pool_id, target, marker, user_ids)
      values (${poolId}, 'sink', '3', ${users.map(({ id }) => id)}::uuid[])`
    await stillDue(direct, { poolId, name: 'sink' }, [{ id: NOBODY, external: null, is_known: true }])
    await settleUnseen(direct, { poolId, name: 'sink' }, 'none', 'aborted')
    await sync()
    const claim = { poolId, id: NOBODY, claim: NOBODY, target: 'sink' }
    await t.rejects(direct.begin((tx) => requireClaim(tx, { run: claim, updatedAt: '' })))
  })
  await step('users whose external ids only the target knows', 20, async () => {
    const run = { poolId, id: NOBODY, claim: NOBODY, target: 'sink' }
    const [target] = await sql`
      select rfc3339(updated_at) as updated_at from targets where pool_id = ${poolId} and name = 'sink'`
    await sql`
      insert into sync_runs (pool_id, id, target, trigger, "full", status, holder)
      values (${poolId}, ${NOBODY}, 'sink', 'request', false, 'running', ${NOBODY})`
    const known = await sql`
      select user_id, external from sink_users where pool_id = ${poolId} and user_id in (select id from users where username = any(${some(4_000)}))`
    const outcomes = known.map(({ user_id: userId, external }) => ({ userId, external }))
    const work = { run, updatedAt: target?.['updated_at'] }
    await settle(direct, work, { announcement: undefined, outcomes, failed: [] })
    await settle(direct, work, { announcement: undefined, outcomes: [], failed: outcomes })
    await sql`delete from sync_runs where id = ${NOBODY}`
  })
  await step('users of a canary', 20, async () => {
    const ids = await sql<{ id: string }[]>`select id from users where username = any(${some(4_000)})`
    const filter = { poolId, batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
    const form = { filter, credentials: ['password_hash' as const], encryptionKey: Buffer.alloc(32) }
    await readUserLines(
      direct,
      form,
      ids.map(({ id }) => id),
    )
  })
  await step('users that a sink sends again', 40, async () => {
    const leaseSql = connectForLeases({ url, schema: 'usersync', waitMs: 5_000 })
    t.teardown(() => leaseSql.end())
    const users = await sql<{ id: string }[]>`
      select id from users where pool_id = ${poolId} and username = any(${some(4_000)}) order by id`
    const ids = users.map(({ id }) => id)
    const updates = async () => {
      const [row] = await sql<[{ count: number }]>`
        select sum(updated_count)::int as count from sync_runs where pool_id = ${poolId} and target = 'sink'`
      return row.count
    }
    for (let times = 0; times < 2; times++) {
      const before = await updates()
      const requested = await leaseSql.begin((tx) => requestResends(tx, poolId, ids))
      t.strictSame([requested.userIds.size, requested.targets], [20, ['sink']])
      await sync() // the service may have begun the requested run before this one
      t.equal((await updates()) - before, 20)
      const open = await leaseSql.begin((tx) => readOpenResends(tx, poolId, ids))
      t.strictSame([open.waiting.size, open.failed.size], [0, 0])
    }
  })
  await step('a sink that holds users', 20, async () => {
    t.match(await call('DELETE', '/v1/targets/sink?pool=later'), { status: 409 })
    t.match(await call('PATCH', '/v1/targets/sink?pool=later', { body: { preset: 'laravel' } }), { status: 409 })
  })
  await step('clearing a sink', users, async () => {
    t.match(await ended('/v1/targets/sink/clear?pool=later'), { clear: true, status: 'succeeded' })
    await call('DELETE', '/v1/targets/sink?pool=later')
  })
}
