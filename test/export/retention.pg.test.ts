import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { connect } from '../../src/database/connection.ts'
import { forgetStep, pruneStep } from '../../src/states/retention.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import type { Held } from './apply-export.ts'
import { FILTERS, runTransaction, transaction } from './history.ts'
import { exportTo, makePool, NOTHING } from './observe.ts'

const t = suite()

/*
 * Pruning between the commits of a history. These changes were tried, and fail here: deciding whether a base is usable
 * by its own mark, not by that of the next state; marking only the states of the scope of all users; searching the
 * first unpruned commit from the latest one; forgetting the state before the first unpruned commit.
 */

const url = await testDatabase()
const sql = connect({ url, schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end())

const RUNS = sized(5, 30)

const ALL = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
let pools = 0

/** Prunes everything older than `seconds`. Returns the number of deleted tombstones. */
async function prune(poolId: number, seconds = 0): Promise<number> {
  let tombstones = 0
  for (;;) {
    const step = await pruneStep(sql, poolId, seconds)
    if (step.commits === 0) return tombstones
    tombstones += step.tombstones
  }
}

/** Waits, at most 10 s, until a statement in this database waits for a lock. */
async function untilLockWait(): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await sleep(10)) {
    const waiting =
      await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    if (waiting.length > 0) return
  }
  throw new Error('no statement waits for a lock')
}

t.test(
  'a base leads to the exact delta or to a full export; a base newer than the pruning always leads to a delta',
  async (t) => {
    const event = fc.oneof(
      { weight: 4, arbitrary: transaction },
      { weight: 1, arbitrary: fc.constant('prune' as const) },
      { weight: 1, arbitrary: fc.constant('prune and forget' as const) },
    )
    const histories = fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 3, maxLength: 12 }), async (history) => {
        const pool = `retention-${++pools}`
        const poolId = await makePool(sql, pool)
        const seen = new Map(FILTERS.map((filter) => [filter, [] as { held: Held; prunedSince: boolean }[]]))
        for (const each of history) {
          if (typeof each === 'string') {
            await prune(poolId)
            if (each === 'prune and forget') await forgetStep(sql, poolId, 0)
            // the current state stays usable: nothing after it could have been pruned
            for (const bases of seen.values()) for (const base of bases.slice(0, -1)) base.prunedSince = true
          } else {
            await runTransaction(sql, poolId, each)
            for (const [filter, bases] of seen) {
              bases.push({ held: (await exportTo(sql, pool, filter, NOTHING)).held, prunedSince: false })
            }
          }
        }
        for (const [filter, bases] of seen) {
          const present = (await exportTo(sql, pool, filter, NOTHING)).held
          for (const { held: base, prunedSince } of bases) {
            const { head, held } = await exportTo(sql, pool, filter, base) // checks the result against its state
            assert.deepEqual(new Map([...held.lines].sort()), new Map([...present.lines].sort()))
            if (head.kind === 'full') {
              assert.ok(prunedSince, 'only a pruned base may get a full export')
              assert.match(head.reason ?? '', /^(expired|unknown)$/)
            }
          }
        }
      }),
      { numRuns: RUNS },
    )
    await t.resolves(histories)
  },
)

t.test('a base from before pruned deletions is expired, then unknown', async (t) => {
  const poolId = await makePool(sql, 'deletions')
  const insert = (name: string) =>
    sql`insert into users (pool_id, username, email) values (${poolId}, ${name}, ${`${name}@example.com`})`
  const hold = async (held: Held) => await exportTo(sql, 'deletions', ALL, held)
  await insert('anna')
  await insert('berta')
  const before = (await hold(NOTHING)).held
  await sql`delete from users where pool_id = ${poolId} and username = 'anna'`
  const after = (await hold(NOTHING)).held
  t.match((await hold(before)).head, { kind: 'delta', counts: { added: 0, updated: 0, deleted: 1 } })
  t.equal(await prune(poolId, 3_600), 0, 'nothing is an hour old')
  t.match((await hold(before)).head, { kind: 'delta' })

  t.equal(await prune(poolId), 1)
  t.match((await hold(before)).head, { kind: 'full', reason: 'expired', total_count: 1 })
  t.match((await hold(after)).head, { kind: 'unchanged' })
  await insert('carla')
  t.match((await hold(after)).head, { kind: 'delta', counts: { added: 1, updated: 0, deleted: 0 } })
  t.match((await hold({ state: `u1-${'0'.repeat(64)}`, lines: new Map() })).head, { kind: 'full', reason: 'expired' })

  t.equal(await forgetStep(sql, poolId, 3_600), 0, 'it stays known as expired for the retention period')
  t.ok((await forgetStep(sql, poolId, 0)) > 0)
  t.match((await hold(before)).head, { kind: 'full', reason: 'unknown' })
  t.match((await hold(after)).head, { kind: 'delta', counts: { added: 1 } }, 'the state before the first unpruned one')
})

t.test('an old state that is still current is not an expired base', async (t) => {
  const poolId = await makePool(sql, 'quiet')
  await sql`insert into users (pool_id, username, email) values (${poolId}, 'anna', 'anna@example.com')`
  const { held } = await exportTo(sql, 'quiet', ALL, NOTHING)
  await prune(poolId)
  await sql`delete from users where pool_id = ${poolId}`
  const { head } = await exportTo(sql, 'quiet', ALL, held)
  t.match(head, { kind: 'delta', counts: { added: 0, updated: 0, deleted: 1 } })
})

t.test('pruning runs in small steps, oldest first, in one process at a time', async (t) => {
  const poolId = await makePool(sql, 'steps')
  for (let n = 0; n < 120; n++) {
    await sql`insert into users (pool_id, username, email) values (${poolId}, ${`s${n}`}, ${`s${n}@example.com`})`
  }
  await sql`
    insert into users (pool_id, username, email)
    select ${poolId}::int, 'm' || n, 'm' || n || '@example.com' from generate_series(1, 12000) n`
  await sql`delete from users where pool_id = ${poolId} and username like 'm%'`
  await sql`delete from users where pool_id = ${poolId}`
  t.same(await pruneStep(sql, poolId, 0), { commits: 100, tombstones: 0 })
  const first = await sql.begin(async (tx) => {
    await tx`select from states where pool_id = ${poolId} and pruned_at is null for update`
    const step = pruneStep(sql, poolId, 0)
    await untilLockWait()
    t.same(await pruneStep(sql, poolId, 0), { commits: 0, tombstones: 0 }, 'another process does nothing meanwhile')
    return [step]
  })
  t.same(await first[0], { commits: 22, tombstones: 12_000 }, 'no further commit after that many tombstones')
  t.equal(await prune(poolId), 120)
  t.same(await sql`select count(*)::int as count from tombstones where pool_id = ${poolId}`, [{ count: 0 }])
})

t.test('the service prunes in the background and reports the oldest base', async (t) => {
  const databaseUrl = await testDatabase()
  const writer = connect({ url: databaseUrl, schema: 'usersync', connections: 1, name: 'test' })
  await writer`insert into users (username, email) values ('anna', 'anna@example.com')`
  await writer`update states set recorded_at = now() - interval '2 days'`
  await writer`insert into users (username, email) values ('berta', 'berta@example.com')`
  await writer`delete from users where username = 'anna'`
  await writer`update states set recorded_at = now() - interval '1 day' where version = 2`
  const [second] = await writer`
    select to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from states where version = 2 limit 1`
  await writer.end()

  const { call, sql } = await startService(t, { DATABASE_URL: databaseUrl, BASE_RETENTION: '12h' })
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    const [row] = await sql<{ count: number }[]>`select count(*)::int as count from states where pruned_at is not null`
    if (row?.count) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.match((await call('GET', '/v1/states/current')).json, { oldest_base_at: second?.['at'] })
  t.same(await sql`select count(*)::int as count from tombstones`, [{ count: 1 }], 'the deletion was made today')
})
