import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../../src/batches/batches.ts'
import type { Failure } from '../../src/batches/failures.ts'
import { sharedService } from '../http/shared-service.ts'
import { openTransaction } from '../open-transaction.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A batch after its creation: progress, events, cancellation, repeated requests, failures. */

const { sql, call, url } = await sharedService(t)

const NO_HASH = { password_hash: { algorithm: 'none' } }
const make = (body: object, headers: Record<string, string> = { prefer: 'wait=30' }) =>
  call<Batch>('POST', '/v1/batches', { body, headers })
const usersOf = async ({ id }: Batch) => {
  const [row] = await sql<{ count: number }[]>`select count(*)::int as count from users where batch_id = ${id}`
  return row?.count
}

t.test('cancelling keeps the created users, starts no more chunks, and reports the exact count', async (t) => {
  const { json } = await make({ count: 50_000, config: { ...NO_HASH, chunk_size: 100 } }, {})
  await sleep(100)
  const { status, json: cancelled } = await call<Batch>('POST', `/v1/batches/${json.id}/cancel`)
  t.match(
    { status, cancelled },
    { status: 200, cancelled: { status: 'cancelled', finished_at: String, eta_seconds: null } },
  )
  t.ok(cancelled.created_count < 50_000 && cancelled.progress < 1, `${cancelled.created_count} were created`)
  t.equal(await usersOf(cancelled), cancelled.created_count)
  await sleep(200)
  t.equal(await usersOf(cancelled), cancelled.created_count, 'no more users are created')
  t.match(await call('POST', `/v1/batches/${json.id}/cancel`), { status: 200, json: { status: 'cancelled' } }, 'again')
  await call('DELETE', `/v1/batches/${json.id}`)
})

t.test('cancelling a finished batch does not change it', async (t) => {
  const { json } = await make({ count: 2, config: NO_HASH })
  const { status, json: after } = await call<Batch>('POST', `/v1/batches/${json.id}/cancel`)
  t.match(
    { status, after },
    { status: 200, after: { status: 'completed', created_count: 2, finished_at: json.finished_at } },
  )
  const missing = '/v1/batches/01890000-0000-7000-8000-000000000000'
  for (const [method, path] of [
    ['POST', '/cancel'],
    ['GET', '/events'],
    ['GET', '/failures'],
  ] as const) {
    t.match(await call(method, missing + path), { status: 404, json: { code: 'batch_not_found' } }, path)
  }
})

/** The events of a stream that has ended: name, id, and the batch in each. */
function eventsIn(body: string) {
  return [...body.matchAll(/^event: (.*)\nid: (.*)\ndata: (.*)\n\n/gm)].map(([, event, id, data = '']) => ({
    event,
    id: Number(id),
    batch: JSON.parse(data) as Batch,
  }))
}

t.test('events report the progress, then the end', async (t) => {
  const count = sized(1_800, 30_000)
  const { json } = await make({ count, config: { ...NO_HASH, chunk_size: count / 60 } }, {})
  const { status, headers, raw } = await call('GET', `/v1/batches/${json.id}/events`, {
    headers: { 'accept-encoding': 'gzip' },
  })
  t.equal(status, 200)
  t.match(headers, { 'content-type': /^text\/event-stream/, 'cache-control': 'no-store' })
  t.equal(headers['content-encoding'], undefined, 'compression would delay events')
  const events = eventsIn(raw.toString())
  t.strictSame(
    events.map(({ event }) => event),
    [...events.slice(1).map(() => 'progress'), 'end'],
  )
  const ids = events.map(({ id }) => id)
  t.strictSame(
    ids,
    ids.toSorted((a, b) => a - b),
    'ids never decrease',
  )
  t.ok(events.every(({ id, batch }) => id === batch.created_count + batch.failed_count))
  t.match(events.at(-1)?.batch, { id: json.id, status: 'completed', created_count: count, progress: 1 })

  const again = await call('GET', `/v1/batches/${json.id}/events`, { headers: { 'last-event-id': String(count) } })
  t.strictSame(
    eventsIn(again.raw.toString()).map(({ event, id }) => ({ event, id })),
    [{ event: 'end', id: count }],
  )
  const wrong = await call('GET', `/v1/batches/${json.id}/events`, { headers: { 'last-event-id': 'x' } })
  t.match(wrong, { status: 400, json: { code: 'invalid_request' } })
  await call('DELETE', `/v1/batches/${json.id}`)
})

t.test('100 concurrent event streams are served, and their places are free after they close', async (t) => {
  const writer = await openTransaction(t, sql)
  await writer`lock table users in share row exclusive mode` // so that the batch does not complete
  const { json } = await make({ count: 10, config: NO_HASH }, {})
  const path = `/v1/batches/${json.id}/events`
  const open: IncomingMessage[] = []
  const openStream = async () => {
    const [stream] = await once(get(url + path, { agent: false }), 'response')
    if (stream.statusCode === 200) open.push(stream)
    return stream as IncomingMessage
  }
  const closeAll = () => {
    for (const stream of open.splice(0)) stream.destroy()
  }
  t.teardown(closeAll)
  await Promise.all(Array.from({ length: 99 }, openStream))
  t.match(await call('HEAD', path), { status: 200, headers: { 'content-length': undefined } })
  await openStream()
  t.equal(open.length, 100, 'HEAD takes no place')
  t.match(await call('GET', path), {
    status: 503,
    headers: { 'retry-after': /\d/ },
    json: { code: 'overloaded' },
  })
  closeAll()
  const deadline = Date.now() + 10_000 // less than the 15 s between two events of a batch that stands still
  // A place is free at the next look at the batch, after 0.25 s.
  while (open.length < sized(10, 100)) {
    const stream = await openStream()
    if (stream.statusCode === 200) continue
    stream.destroy()
    if (Date.now() > deadline) throw new Error(`only ${open.length} places are free again`)
    await sleep(50)
  }
  closeAll()
  await writer.rollback()
  await call('POST', `/v1/batches/${json.id}/cancel`)
  await call('DELETE', `/v1/batches/${json.id}`)
})

t.test('failures are paged, each exactly once', async (t) => {
  await make({ count: 25, config: { ...NO_HASH, username_pattern: 'twice_{n}' } })
  const { json } = await make({ count: 30, config: { ...NO_HASH, username_pattern: 'twice_{n}', chunk_size: 7 } })
  t.match(json, { status: 'completed_with_failures', created_count: 5, failed_count: 25, progress: 1 })
  interface Page {
    items: Failure[]
    next_cursor: string | null
  }
  const seen: Failure[] = []
  let cursor = ''
  do {
    const page = (await call<Page>('GET', `/v1/batches/${json.id}/failures?limit=10${cursor && `&cursor=${cursor}`}`))
      .json
    seen.push(...page.items)
    cursor = page.next_cursor ?? ''
  } while (cursor)
  const expected = Array.from({ length: 25 }, (_, i) => ({
    n: i + 1,
    username: `twice_${i + 1}`,
    email: `twice_${i + 1}@example.com`,
    code: 'username_taken',
  }))
  t.strictSame(seen, expected)
  const { next_cursor } = (await call<Page>('GET', `/v1/batches/${json.id}/failures?limit=1`)).json
  const other = (await make({ count: 1, config: NO_HASH })).json
  t.match(await call('GET', `/v1/batches/${other.id}/failures?cursor=${next_cursor}`), {
    status: 400,
    json: { code: 'cursor_invalid' },
  })
})

t.test(
  'the same idempotency key and body return the same batch, even concurrently; another body is rejected',
  async (t) => {
    const headers = { prefer: 'wait=30', 'idempotency-key': 'order-66' }
    const body = { count: 3, label: 'once', config: { ...NO_HASH, role: 'buyer' } }
    const answers = await Promise.all(Array.from({ length: 8 }, () => make(body, headers)))
    t.equal(new Set(answers.map(({ json }) => json.id)).size, 1)
    t.ok(answers.every(({ status }) => status === 201))
    const reordered = { config: { role: 'buyer', ...NO_HASH }, label: 'once', count: 3 }
    t.equal((await make(reordered, headers)).json.id, answers[0]?.json.id, 'the order of the members does not matter')
    t.match(await make({ ...body, count: 4 }, headers), { status: 422, json: { code: 'idempotency_key_reused' } })
    t.not((await make(body, { ...headers, 'idempotency-key': 'order-67' })).json.id, answers[0]?.json.id)
    const [row] = await sql`select count(*)::int as count from batches where label = 'once'`
    t.same(row, { count: 2 })
    for (const key of ['', 'x'.repeat(256)]) {
      t.match(await make(body, { 'idempotency-key': key }), { status: 400, json: { code: 'invalid_request' } })
    }
    await call('POST', '/v1/pools', { body: { name: 'apart' } })
    t.not((await make({ ...body, pool: 'apart' }, headers)).json.id, answers[0]?.json.id, 'a key belongs to its pool')
    const refused = { count: 2, config: { username_pattern: 'no number' } }
    t.equal((await make(refused, { 'idempotency-key': 'failed' })).status, 400)
    t.equal(
      (await make({ count: 1, config: NO_HASH }, { ...headers, 'idempotency-key': 'failed' })).status,
      201,
      'a rejected request does not use up its key',
    )
  },
)

t.test('expires_in is reported as a time, expires_at', async (t) => {
  const { json } = await make({ count: 1, expires_in: 3600, config: NO_HASH })
  t.equal(Math.round((Date.parse(json.expires_at ?? '') - Date.parse(json.created_at)) / 1000), 3600)
  for (const expires_in of [0, -1, 1.5, '5', 315_360_001]) {
    t.match(
      await make({ count: 1, expires_in }),
      { status: 400, json: { errors: [{ path: 'body.expires_in' }] } },
      `${expires_in}`,
    )
  }
})

t.test('the list can be filtered by status', async (t) => {
  const ids = async (query: string) =>
    (await call<{ items: Batch[] }>('GET', `/v1/batches?${query}`)).json.items.map(({ id }) => id)
  const all = await ids('limit=1000')
  const parts = []
  for (const status of ['queued', 'running', 'completed', 'completed_with_failures', 'cancelled', 'failed']) {
    parts.push(...(await ids(`limit=1000&status=${status}`)))
  }
  t.strictSame(parts.toSorted(), all.toSorted())
  t.equal((await ids('status=completed_with_failures')).length, 1)
  t.match(await call('GET', '/v1/batches?status=done'), {
    status: 400,
    json: { errors: [{ path: 'querystring.status' }] },
  })
})
