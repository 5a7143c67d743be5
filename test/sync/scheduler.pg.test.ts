import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { pino } from 'pino'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { createExports, type Exports } from '../../src/export/exports.ts'
import { readRun, requestRun, type SyncRun } from '../../src/sync/sync-runs.ts'
import { type RunObserver, startSyncScheduler } from '../../src/sync/sync-scheduler.ts'
import { NO_LIMITS } from '../../src/sync/target-settings.ts'
import { createTarget, deleteTarget, type TargetSettings } from '../../src/sync/targets.ts'
import { anyCharacter } from '../any-character.ts'
import { testDatabase } from '../database.ts'
import { startProxy } from '../database-proxy.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, startReceiver } from './receiver.ts'

const t = suite()

/*
 * A scheduler whose database disconnects, rejects statements, or loses running work. Every run ends, and the next one
 * succeeds.
 */

const POOL = 1
const encryptionKey = Buffer.alloc(32, 7)
const url = new URL(await testDatabase())
const proxy = await startProxy(t, Number(url.port))
const sql = connect({ url: url.href, schema: 'usersync', connections: 4, name: 'test' })
t.teardown(() => sql.end({ timeout: 5 }))
await sql`insert into users (username, email) values ('one', 'one@example.com')`

/** Several times as fast as in the service. */
const PACE = { pollMs: 50, leaseMs: 1_500, push: { deadlineMs: 20_000, firstPauseMs: 20, patienceMs: 5_000 } }

/** Starts a scheduler that connects through the proxy. It is stopped at the end of `t`. */
function startScheduler(
  t: Test,
  { pace = PACE, change = (exports: Exports) => exports, afterPush = async (_run: { id: string }) => {} } = {},
) {
  const behindProxy = new URL(url)
  behindProxy.port = String(proxy.port)
  const own = connect({ url: behindProxy.href, schema: 'usersync', connections: 6, name: 'scheduler', waitMs: 500 })
  const exports = change(createExports({ sql: own, encryptionKey, concurrency: 2, waitMs: 500, cache: undefined }))
  const log: Record<string, unknown>[] = []
  const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(JSON.parse(line)) })
  const observer: RunObserver = {
    syncRunEnded: () => {},
    push: (run, _target, push) => push().finally(() => afterPush(run)),
  }
  const parts = { sql: own, exports, encryptionKey, targetHosts: [], observer }
  const scheduler = startSyncScheduler(parts, logger, pace)
  t.teardown(async () => {
    await scheduler.stop()
    await own.end({ timeout: 5 })
  })
  return { scheduler, log }
}

let targets = 0

/** A target with a receiver that keeps its users in memory. */
async function startTarget(t: Test) {
  const name = `target${targets++}`
  const receiver = await startReceiver(t)
  const filter = { batchId: undefined, testUsersOnly: true, bulkUsersOnly: false }
  const settings: TargetSettings = {
    ...{ kind: 'usersync', url: receiver.url, key: RECEIVER_KEY, remotePool: 'default', filter },
    ...{ mapping: null, limits: NO_LIMITS, canary: null, intervalSeconds: null },
  }
  await createTarget(sql, encryptionKey, { poolId: POOL, name, ...settings })
  return { name, receiver, settings, push: async () => await finished((await requestRun(sql, POOL, name)).id) }
}

async function until<Value>(what: string, look: () => Value | undefined | Promise<Value | undefined>): Promise<Value> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(20)) {
    const value = await look()
    if (value !== undefined) return value
  }
  throw new Error(`${what}: not within 20 s`)
}

const finished = (id: string): Promise<SyncRun> =>
  until(`the end of run ${id}`, async () => {
    const run = await readRun(sql, POOL, id)
    return run.finished_at === null ? undefined : run
  })

/** Makes the receiver hold its next response. Resolves with that response once the request has arrived. */
function holdNext(receiver: Awaited<ReturnType<typeof startReceiver>>): Promise<ServerResponse> {
  const { promise, resolve } = Promise.withResolvers<ServerResponse>()
  receiver.misbehave = (_request, response) => {
    receiver.misbehave = () => 'go on'
    resolve(response)
    return 'done'
  }
  return promise
}

t.test(
  'if the database disconnects during a push, the run ends after it is back, and the next push succeeds',
  async (t) => {
    const { log } = startScheduler(t)
    const { name, receiver, push } = await startTarget(t)
    const nextRequest = holdNext(receiver)
    const { id } = await requestRun(sql, POOL, name)
    const answer = await nextRequest
    await proxy.cut()
    answer.writeHead(404).end() // the push ends, but its result cannot be stored
    await until('the dropped run', () => log.find(({ msg }) => msg === 'sync run dropped, will be claimed again'))
    await proxy.restore()
    t.match(await finished(id), { status: 'succeeded', added_count: 1 })
    t.match(await push(), { status: 'succeeded', kind: 'unchanged' })
  },
)

t.test('a failed name look-up for the database drops the run, which is claimed again', async (t) => {
  let failures = 1
  const change = (exports: Exports): Exports => ({
    ...exports,
    async currentScope(filter) {
      if (failures-- <= 0) return await exports.currentScope(filter)
      const nowhere = connect({ url: 'postgres://nobody.invalid/x', schema: 'x', connections: 1, name: 'test' })
      await nowhere`select`
      throw new Error('there is no such host')
    },
  })
  startScheduler(t, { change })
  const { push } = await startTarget(t)
  t.match(await push(), { status: 'succeeded', added_count: 1 })
  t.ok(failures < 0)
})

t.test('a result that the database rejects ends the run as internal', async (t) => {
  const { log } = startScheduler(t)
  const { receiver, push } = await startTarget(t)
  await sql`alter table sync_runs add constraint refusing check (detail not like '%no such words%')`
  t.teardown(() => sql`alter table sync_runs drop constraint refusing`)
  receiver.misbehave = (_request, response) => {
    response.writeHead(400, { 'content-type': 'application/problem+json' }).end('{"detail":"no such words"}')
    return 'done'
  }
  t.match(await push(), { status: 'failed', failure: 'internal', attempts: 0 })
  t.equal(log.filter(({ msg }) => msg === 'sync run failed').length, 1)
  receiver.misbehave = () => 'go on'
  t.match(await push(), { status: 'succeeded' })
})

t.test('a run with an expired lease is claimed again by the same process, with one push at a time', async (t) => {
  const { scheduler } = startScheduler(t, { pace: { ...PACE, leaseMs: 600_000 } }) // no renewal in between
  const { name, receiver } = await startTarget(t)
  const nextRequest = holdNext(receiver)
  const { id } = await requestRun(sql, POOL, name)
  const first = await nextRequest
  let isFirstOver = false
  first.once('close', () => (isFirstOver = true))
  const secondRequest = holdNext(receiver)
  await sql`update sync_runs set lease_until = '-infinity' where id = ${id}`
  const second = await secondRequest
  t.ok(isFirstOver, 'the first push was aborted before the second started')
  second.writeHead(404).end()
  t.match(await finished(id), { status: 'failed', failure: 'refused' })

  void holdNext(receiver)
  const again = await requestRun(sql, POOL, name)
  await until('the running run', async () => (await readRun(sql, POOL, again.id)).started_at ?? undefined)
  await scheduler.stop()
  const [run] = await sql`select status, lease_until < now() as is_free from sync_runs where id = ${again.id}`
  t.match(run, { status: 'running', is_free: true }, 'stop releases running runs')
  startScheduler(t)
  t.match(await finished(again.id), { status: 'succeeded' })
})

t.test('a run claimed by another process ends here without a result', async (t) => {
  startScheduler(t)
  const { name, receiver } = await startTarget(t)
  const nextRequest = holdNext(receiver)
  const { id } = await requestRun(sql, POOL, name)
  const answer = await nextRequest
  const [{ holder }] = await sql<[{ holder: string }]>`
    update sync_runs set holder = gen_random_uuid(), lease_until = now() + interval '1 second'
    where id = ${id} returning holder`
  await until('the abort', () => (answer.destroyed ? true : undefined))
  t.match(await sql`select holder, status from sync_runs where id = ${id}`, [{ holder, status: 'running' }])
  t.match(await finished(id), { status: 'succeeded' }, 'its lease was not renewed here, and expired')
})

t.test('only the process that records the outcome of a run logs it', async (t) => {
  let pushes = 0
  const { scheduler, log } = startScheduler(t, {
    async afterPush({ id }) {
      if (pushes++ > 0) return
      await sql`update sync_runs set holder = gen_random_uuid(), lease_until = '-infinity' where id = ${id}`
    },
  })
  const { push } = await startTarget(t)
  t.match(await push(), { status: 'succeeded', kind: 'unchanged' })
  await scheduler.stop()
  t.equal(pushes, 2)
  const recorded = log.filter(({ msg }) => msg === 'target in sync')
  t.strictSame(
    recorded.map(({ kind }) => kind),
    ['unchanged'],
  )
})

t.test('deleting a target deletes its runs, including a running one', async (t) => {
  startScheduler(t)
  const { name, receiver } = await startTarget(t)
  const nextRequest = holdNext(receiver)
  await requestRun(sql, POOL, name)
  const answer = await nextRequest
  await deleteTarget(sql, { poolId: POOL, name, force: false })
  await until('the abort', () => (answer.destroyed ? true : undefined))
  t.strictSame([...(await sql`select from sync_runs where target = ${name}`)], [])
  await t.rejects(requestRun(sql, POOL, name), { code: 'target_not_found' })
})

t.test('runs that have ended make room: 110 runs end, though at most 100 are in progress at once', async (t) => {
  startScheduler(t)
  const { receiver, settings } = await startTarget(t)
  receiver.misbehave = (_request, response) => {
    response.writeHead(404).end()
    return 'done'
  }
  const names = Array.from({ length: 55 }, (_, n) => `many${n}`)
  for (const name of names) await createTarget(sql, encryptionKey, { poolId: POOL, name, ...settings })
  for (const round of ['first', 'second']) {
    await Promise.all(names.map((name) => requestRun(sql, POOL, name)))
    await until('the end of all runs', async () =>
      (await sql`select from sync_runs where finished_at is null`).count === 0 ? true : undefined,
    )
    const ended = await sql`
      select target, max(failure) as failure from sync_runs where target like 'many%' group by target`
    t.strictSame(new Set(ended.map(({ failure }) => failure)), new Set(['refused']), round)
    t.equal(ended.count, names.length)
  }
})

t.test('whatever a receiver responds, the run ends within its deadline', async (t) => {
  startScheduler(t, { pace: { ...PACE, push: { deadlineMs: 200, firstPauseMs: 5, patienceMs: 5_000 } } })
  const { receiver, push } = await startTarget(t)
  const words = fc.oneof(
    fc.constantFrom('a\0b', '\ud800', '\u001b[2J\n', 'x'.repeat(1_000_000), `u1-${'0'.repeat(64)}`, 'base_mismatch'),
    fc.string({ unit: anyCharacter }),
  )
  const value = fc.oneof(
    words,
    words,
    fc.double(),
    fc.constant(null),
    fc.array(words, { maxLength: 3 }),
    fc.constant({}),
  )
  const problem = fc
    .record({ code: value, detail: value, state: value, counts: fc.record({ added: value }) })
    .map((problem) => JSON.stringify(problem))
  const answers = fc.record({
    status: fc.constantFrom(200, 204, 302, 304, 400, 401, 409, 409, 422, 429, 500, 503),
    type: fc.constantFrom('application/problem+json', 'application/problem+json', 'application/json', 'text/html'),
    retryAfter: fc.constantFrom('0', '1e300', '-1', 'Infinity', 'x'),
    body: fc.oneof({ weight: 4, arbitrary: problem }, words, fc.constantFrom('', '[', 'null', '[1]')),
    end: fc.constantFrom('end', 'end', 'end', 'cut', 'hang'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(answers, { minLength: 1, maxLength: 4 }), async (list) => {
      let requests = 0
      receiver.misbehave = (_request, response) => {
        const answer = list[requests++ % list.length] ?? list[0]
        response.writeHead(answer?.status ?? 200, {
          'content-type': answer?.type,
          'retry-after': answer?.retryAfter ?? '0',
        })
        response.write(answer?.body ?? '', () => {
          if (answer?.end === 'cut') response.destroy()
        })
        if (answer?.end === 'end') response.end()
        return 'done'
      }
      const { status, detail, failure } = await push()
      const text = detail ?? ''
      if (failure === 'internal') throw new Error('an internal error')
      return /^(succeeded|failed)$/.test(status) && text.length <= 500 && !/[\p{Cc}\p{Cf}]/u.test(text)
    }),
    { numRuns: sized(10, 40) },
  )
})
