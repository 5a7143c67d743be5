import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { startService } from '../http/service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { RECEIVER_KEY, type Receiver, startReceiver } from './receiver.ts'

const t = suite()

/* Pushes of a real service to receivers that keep their users in memory, with independent code. */

/** Short, so that silent and failing targets are given up soon. A busy machine needs up to 2 s for a response. */
const PACE = { pollMs: 500, leaseMs: 30_000, push: { deadlineMs: 900_000, firstPauseMs: 50, patienceMs: 3_000 } }
const { call, sql, log } = await startService(t, { MAX_WORKERS: '1' }, { sync: PACE })

interface Status {
  target: string
  in_step: boolean
  local_state: string
  remote_state: string | null
  remote_failure: string | null
  last_run: SyncRun | null
}

/** Creates a pool with a target, and functions to use them. */
async function startTarget(t: Test, members: Record<string, unknown> = {}) {
  const pool = `p${randomBytes(6).toString('hex')}`
  await call('POST', '/v1/pools', { body: { name: pool } })
  const receiver = await startReceiver(t)
  const body = { name: 'tester', url: receiver.url, key: RECEIVER_KEY, ...members }
  t.equal((await call('POST', `/v1/targets?pool=${pool}`, { body })).status, 201)
  return {
    pool,
    receiver,
    async make(count: number): Promise<string> {
      const config = { password_hash: { algorithm: 'none' } }
      const headers = { prefer: 'wait=30' }
      return (await call<{ id: string }>('POST', `/v1/batches?pool=${pool}`, { body: { count, config }, headers })).json
        .id
    },
    push: (options: Record<string, unknown> = {}) => push(t, pool, options),
    async status(): Promise<Status | undefined> {
      return (await call<{ items: Status[] }>('GET', `/v1/sync/status?pool=${pool}`)).json.items[0]
    },
  }
}

async function push(t: Test, pool: string, options: Record<string, unknown> = {}): Promise<SyncRun> {
  const { status, headers } = await call('POST', `/v1/sync?pool=${pool}`, {
    body: { target: 'tester', ...options },
  })
  t.equal(status, 202)
  return await finished(String(headers.location))
}

async function finished(location: string): Promise<SyncRun> {
  const deadline = Date.now() + 60_000
  for (let pauseMs = 20; Date.now() < deadline; pauseMs = Math.min(pauseMs * 1.5, 200)) {
    const { json } = await call<SyncRun>('GET', location)
    if (json.finished_at !== null) return json
    await sleep(pauseMs)
  }
  throw new Error('the run did not end within a minute')
}

const stateOf = async (pool: string, filter = '') =>
  (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}${filter}`)).json.state

t.test('a push sends nothing, everything, or the difference', async (t) => {
  const { pool, receiver, make, push, status } = await startTarget(t)
  t.match(await push(), { status: 'succeeded', kind: 'unchanged', attempts: 1, sent_bytes: 0 }, 'both are empty')

  const batch = await make(200)
  const first = await push()
  t.match(first, { status: 'succeeded', added_count: 200, failure: null, attempts: 1, trigger: 'request' })
  t.ok(first.sent_bytes > 200 && first.sent_bytes < 100_000 && (first.duration_ms ?? 0) > 0, 'it was sent compressed')
  t.equal(receiver.held.state, await stateOf(pool))
  t.equal(receiver.held.lines.size, 200)

  await make(60)
  const second = await push()
  t.match(second, { kind: 'delta', base: first.state, added_count: 60, deleted_count: 0, sent_count: 60 })
  await call('DELETE', `/v1/batches/${batch}?pool=${pool}`)
  t.match(await push(), { kind: 'delta', base: second.state, deleted_count: 200 })
  t.equal(receiver.held.lines.size, 60)
  t.match(await push(), { kind: 'unchanged' })
  const none = { added_count: 0, updated_count: 0, deleted_count: 0 }
  t.match(await push({ full: true }), { kind: 'full', base: null, full: true, ...none, sent_count: 60 })
  t.match(await status(), { in_step: true, remote_failure: null, last_run: { kind: 'full' } })
  t.ok(receiver.seen.includes('delta zstd') && receiver.seen.includes('full zstd'), receiver.seen.join(', '))
})

t.test('a target with an unknown base gets a full export', async (t) => {
  const { receiver, make, push, status } = await startTarget(t)
  await make(20)
  await push()
  receiver.held = { state: `u1-${'a'.repeat(64)}`, lines: new Map([['x', '{"id":"x"}']]) }
  t.match(await status(), { in_step: false, remote_state: receiver.held.state })
  t.match(await push(), { status: 'succeeded', kind: 'full', added_count: 20 })
  t.match(await status(), { in_step: true, remote_state: receiver.held.state })
})

t.test('a target whose users do not match its state is repaired by a full export', async (t) => {
  const { receiver, make, push } = await startTarget(t)
  await make(20)
  await push()
  const [id = ''] = receiver.held.lines.keys()
  receiver.held.lines.delete(id)
  await make(1)
  t.match(await push(), { status: 'succeeded', kind: 'full', added_count: 2, sent_count: 21 })
  t.ok(receiver.seen.includes('wrong_sum'), 'the delta was tried first')
})

t.test('a target with a filter gets the state of that filter', async (t) => {
  const { pool, receiver, make, push } = await startTarget(t)
  const batch = await make(7)
  await make(5)
  const filter = { batch_id: batch }
  t.match(await call('PATCH', `/v1/targets/tester?pool=${pool}`, { body: { filter } }), { status: 200 })
  t.match(await push(), { status: 'succeeded', added_count: 7 })
  t.equal(receiver.held.state, await stateOf(pool, `&batch_id=${batch}`))
})

t.test('each kind of target failure is reported as such', async (t) => {
  const answer = (status: number) => (receiver: Receiver) => {
    receiver.misbehave = (_request, response) => {
      response.writeHead(status).end()
      return 'done'
    }
  }
  const cases: Record<string, (receiver: Receiver) => void> = {
    server_error: answer(500),
    busy: answer(503),
    refused: answer(404),
    not_understood: (receiver) => {
      receiver.misbehave = (_request, response) => {
        response.end('{"status":"fine"}')
        return 'done'
      }
    },
    timeout: (receiver) => {
      receiver.misbehave = () => 'done'
    },
    unreachable: (receiver) => {
      receiver.misbehave = (request) => {
        request.socket.destroy()
        return 'done'
      }
    },
  }
  await Promise.all(
    Object.entries(cases).map(async ([failure, misbehave]) => {
      const { receiver, make, push, status } = await startTarget(t)
      await make(1)
      misbehave(receiver)
      const run = await push()
      const passing = !['refused', 'not_understood'].includes(failure)
      t.match(run, { status: 'failed', failure, attempts: passing ? 4 : 1, detail: String }, failure)
      t.match(await status(), { in_step: false, remote_failure: failure, last_run: { failure } })
      receiver.misbehave = () => 'go on'
      t.match(await push(), { status: 'succeeded', failure: null }, `${failure}, and then in step`)
    }),
  )
  const { make, push } = await startTarget(t, { key: 'another-s3cret' })
  await make(1)
  t.match(await push(), { status: 'failed', failure: 'unauthorized', attempts: 1 })
  t.notMatch(log.join(''), /s3cret/, 'no key is in the log')
})

t.test('a response lost after the target applied the export costs only one attempt', async (t) => {
  const { pool, receiver, make, push } = await startTarget(t)
  await make(50)
  let lost = false
  receiver.misbehave = (request, response) => {
    if (lost || Number(request.headers['content-length'] ?? 1_000) < 500) return 'go on'
    lost = true
    response.end = () => {
      request.socket.destroy()
      return response
    }
    return 'go on'
  }
  t.match(await push(), { status: 'succeeded', attempts: 2, kind: 'unchanged' })
  t.ok(lost)
  t.equal(receiver.held.state, await stateOf(pool))
})

t.test('silent targets do not delay others, and a target has at most one run at a time', async (t) => {
  const one = await startTarget(t)
  await one.make(10)
  const dead = await startReceiver(t)
  dead.misbehave = () => 'done'
  for (let n = 0; n < sized(8, 20); n++) {
    const body = { name: `dead${n}`, url: dead.url, key: RECEIVER_KEY }
    await call('POST', `/v1/targets?pool=${one.pool}`, { body })
    await call('POST', `/v1/sync?pool=${one.pool}`, { body: { target: `dead${n}` } })
  }
  t.match(await one.push(), { status: 'succeeded' })
  const { json } = await call<{ items: SyncRun[] }>('GET', `/v1/sync/runs?pool=${one.pool}`)
  const over = json.items.filter(({ target, finished_at }) => target !== 'tester' && finished_at !== null)
  t.equal(over.length, 0, 'before any silent one is given up')

  let inside = 0
  let most = 0
  one.receiver.misbehave = (_request, response) => {
    inside++
    most = Math.max(most, inside)
    response.once('close', () => inside--)
    return 'go on'
  }
  await one.make(10)
  const runs = await Promise.all(Array.from({ length: 10 }, () => one.push()))
  t.equal(most, 1)
  t.ok(new Set(runs.map(({ id }) => id)).size <= 3, 'waiting requests share a run')
})

t.test('a target with an interval is kept in step in the background', async (t) => {
  const { pool, receiver, make } = await startTarget(t, { interval_seconds: 1 })
  const inStep = async () => {
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50)) {
      if (receiver.held.state === (await stateOf(pool))) return true
    }
    return false
  }
  await make(30)
  t.ok(await inStep())
  await make(30)
  t.ok(await inStep())
  const seen = new Set<string>()
  for (const deadline = Date.now() + 20_000; seen.size < 4 && Date.now() < deadline; await sleep(100)) {
    await sql`update targets set next_run_at = now() from pools p where p.id = pool_id and p.name = ${pool}`
    const { json } = await call<{ items: SyncRun[] }>('GET', `/v1/sync/runs?pool=${pool}&target=tester`)
    if (!json.items.every(({ trigger }) => trigger === 'interval')) t.fail('a run of another trigger')
    const quiet = json.items.filter(({ kind }) => kind === 'unchanged')
    if (quiet.length > 2) t.fail(`only the last of several unchanged runs is kept: ${quiet.length}`)
    for (const { id } of quiet) seen.add(id)
  }
  t.equal(seen.size, 4, 'unchanged runs')
  await call('PATCH', `/v1/targets/tester?pool=${pool}`, { body: { interval_seconds: null } })
})

t.test('the run of a dead process is taken over', async (t) => {
  const { pool, push, make, receiver } = await startTarget(t)
  await make(3)
  await sql`
    insert into sync_runs (pool_id, target, trigger, "full", status, holder, started_at, lease_until)
    select id, 'tester', 'request', false, 'running', gen_random_uuid(), now(), now() + interval '2 seconds'
    from pools where name = ${pool}`
  t.match(await push(), { status: 'succeeded', kind: 'unchanged' }, 'it waited for the other run')
  const { json } = await call<{ items: SyncRun[] }>('GET', `/v1/sync/runs?pool=${pool}`)
  t.match(json.items, [{ kind: 'unchanged' }, { status: 'succeeded', added_count: 3 }])
  t.equal(receiver.held.lines.size, 3)
})

t.test('deleting a pool during a push is not logged as an error', async (t) => {
  const { pool, receiver, make } = await startTarget(t)
  await call('DELETE', `/v1/batches/${await make(1)}?pool=${pool}`)
  const before = log.length
  const removed = Promise.withResolvers<number>()
  receiver.misbehave = (_request, response) => {
    void call('DELETE', `/v1/pools/${pool}`).then(({ status }) => {
      removed.resolve(status)
      response.writeHead(503).end()
    })
    return 'done'
  }
  t.equal((await call('POST', `/v1/sync?pool=${pool}`, { body: { target: 'tester' } })).status, 202)
  t.equal(await removed.promise, 204)
  await sleep(500) // the push ends without a log line
  const errors = log.slice(before).filter((line) => JSON.parse(line).level > 40)
  t.strictSame(errors, [])
})

t.test('verify reports a response that is not an export and releases the connection', async (t) => {
  const { pool, make, receiver } = await startTarget(t)
  await make(1)
  const answers: [headers: Record<string, string>, body: string][] = [
    [{}, '<html>'],
    [{ 'content-encoding': 'zstd' }, 'no zstd'],
    [{ 'content-encoding': 'x-own' }, 'x'],
    [{}, `${'x'.repeat(1_100_000)}\n`],
    [{}, '{"kind":"full","base":null,"state":"u1-0","total_count":1,"counts":{}}\n'],
  ]
  for (const [headers, body] of answers) {
    receiver.misbehave = (_request, response) => {
      response.writeHead(200, headers).end(body)
      return 'done'
    }
    const answer = await call('POST', `/v1/sync/verify?pool=${pool}`, { body: { target: 'tester' } })
    t.match(answer, { status: 502, json: { code: 'target_failed' } }, body.slice(0, 20))
  }
  const openTransactions = () => sql`
    select from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`
  // The service sometimes has short ones of its own.
  let open = await openTransactions()
  for (let i = 0; i < 100 && open.length > 0; i++, open = await openTransactions()) await sleep(20)
  t.equal(open.length, 0, 'no snapshot is left')
})
