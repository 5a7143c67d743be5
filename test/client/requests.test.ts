import { createClient, UsersyncError } from '../../client/index.ts'
import { suite } from '../suite.ts'
import { fakeService, type Handler, hangUp, html, json, silence } from './fake-service.ts'

const t = suite()

t.jobs = 8 // the tests wait most of the time, each for a service of its own

/* How the client retries, and what it says of responses that the service does not send. */

const STATS = { pool: 'default', total_users: 3 }
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error) => error,
  )

t.test('a request that may be repeated is, after every fault that may pass', async (t) => {
  const faults: [string, Handler][] = [
    ['closed connection', hangUp],
    ['overload', json(503, { code: 'overloaded' }, { 'retry-after': '0' })],
    ['rate limit', json(429, { code: 'rate_limited' }, { 'retry-after': '0' })],
    ['internal error', json(500, { code: 'internal_error' })],
    ['proxy without service', html(502)],
    ['proxy with a page of megabytes', html(502, 'x'.repeat(2_000_000))],
  ]
  for (const [name, fault] of faults) {
    const { url, requests } = await fakeService(t, fault, json(200, STATS))
    t.strictSame(await createClient({ url }).request('getStats'), STATS, name)
    t.equal(requests.length, 2, name)
  }
})

t.test('a request that must not be repeated is sent again only if the service has done nothing', async (t) => {
  const body = { name: 'shop' }
  for (const fault of [hangUp, html(502), json(503, { code: 'database_unavailable' })]) {
    const { url, requests } = await fakeService(t, fault, json(201, body))
    t.match(await failure(createClient({ url }).request('createPool', { body })), { isRetryable: true })
    t.equal(requests.length, 1)
  }
  const { url, requests } = await fakeService(
    t,
    json(503, { code: 'overloaded' }, { 'retry-after': '0' }),
    json(201, body),
  )
  t.strictSame(await createClient({ url }).request('createPool', { body }), body)
  t.equal(requests.length, 2)
})

t.test('a deletion whose response is lost is repeated, and the 404 then says that it is done', async (t) => {
  const gone = json(404, { code: 'user_not_found' })
  const lost = await fakeService(t, hangUp, gone)
  await createClient({ url: lost.url }).users.delete('u')
  t.equal(lost.requests.length, 2)
  for (const handlers of [[gone], [json(503, { code: 'overloaded' }, { 'retry-after': '0' }), gone]]) {
    const { url } = await fakeService(t, ...handlers)
    t.match(await failure(createClient({ url }).users.delete('u')), { code: 'user_not_found' }, 'nothing was deleted')
  }
  const elsewhere = await fakeService(t, hangUp, json(404, { code: 'pool_not_found' }))
  t.match(await failure(createClient({ url: elsewhere.url }).users.delete('u')), { code: 'pool_not_found' })
})

t.test('no timeout of fetch ends a request before those of the client', async (t) => {
  const { url } = await fakeService(t, json(200, STATS), json(200, STATS))
  await createClient({ url }).request('getStats') // loads what Node fetches with
  const place = globalThis as { [key: symbol]: { dispatch(options: object, handler: object): boolean } }
  const name = Symbol.for('undici.globalDispatcher.1')
  const { [name]: dispatcher } = place
  if (!dispatcher) return t.fail('the fetch of Node has another dispatcher')
  const seen: object[] = []
  place[name] = {
    dispatch(options, handler) {
      if ('origin' in options && String(options.origin) === url) seen.push(options) // other tests run meanwhile
      return dispatcher.dispatch(options, handler)
    },
  }
  t.teardown(() => {
    place[name] = dispatcher
  })
  await createClient({ url }).request('getStats')
  t.match(seen, [{ headersTimeout: 0, bodyTimeout: 0 }])
})

t.test('reads of the Simple Table Server take users, so they are not repeated', async (t) => {
  const { url, requests } = await fakeService(t, hangUp)
  const options = { query: { FILENAME: 'users' } }
  t.match(await failure(createClient({ url }).request('stsRead', options)), { code: 'unreachable' })
  t.equal(requests.length, 1)
})

t.test('a batch is created once, whatever is lost: all attempts have one Idempotency-Key', async (t) => {
  const { url, requests } = await fakeService(t, hangUp, html(504), json(202, { id: 'x' }))
  t.match(await createClient({ url }).batches.create({ count: 1 }), { id: 'x' })
  const keys = requests.map(({ headers }) => headers['idempotency-key'])
  t.match(keys, [/^[0-9a-f]{32}$/, keys[0], keys[0]])
  const own = await fakeService(t, json(202, { id: 'x' }))
  await createClient({ url: own.url }).batches.create({ count: 1 }, { idempotencyKey: 'mine', waitSeconds: 3 })
  t.match(own.requests[0]?.headers, { 'idempotency-key': 'mine', prefer: 'wait=3' })
})

t.test('a lease that was granted after its ttl is renewed, since it may have begun late', async (t) => {
  const lease = { id: 'x', fence: 1, users: [{ id: 'u' }] }
  const late: Handler = (request, response) => void setTimeout(json(201, lease), 20, request, response)
  const { url, requests } = await fakeService(t, late, json(200, {}))
  const taken = await createClient({ url }).leases.take({ ttl_seconds: 0.01, wait_seconds: 30 })
  t.notOk(taken.lost.aborted)
  t.match(requests[1], { url: '/v1/leases/x/renew' })
  await taken.return()
})

t.test('while the service waits for users or a batch, it may send nothing for timeoutMs longer', async (t) => {
  const { url } = await fakeService(t, silence)
  const client = createClient({ url, timeoutMs: 10, attempts: 1 })
  const message = /sent nothing for 30 ms/
  const calls = [client.leases.take({ wait_seconds: 0.02 }), client.batches.create({ count: 1 }, { waitSeconds: 0.02 })]
  for (const error of await Promise.all(calls.map(failure))) t.match(error, { code: 'timeout', message })
})

t.test('the pause is at least Retry-After, and no attempt begins after the deadline', async (t) => {
  const busy = json(503, { code: 'overloaded' }, { 'retry-after': '1' })
  const patient = await fakeService(t, busy, json(200, STATS))
  const begun = performance.now()
  await createClient({ url: patient.url }).request('getStats')
  t.ok(performance.now() - begun >= 950, 'waited a second')
  const { url } = await fakeService(t, busy)
  t.match(await failure(createClient({ url, deadlineMs: 900 }).request('getStats')), {
    code: 'overloaded',
    status: 503,
  })
})

t.test('attempts and silence are bounded', async (t) => {
  const down = await fakeService(t, hangUp)
  t.match(await failure(createClient({ url: down.url, attempts: 2 }).request('getStats')), {
    code: 'unreachable',
    status: 0,
  })
  t.equal(down.requests.length, 2)
  const { url } = await fakeService(t, silence)
  let attempts = 0
  const counted: typeof fetch = (...request) => {
    attempts++
    return fetch(...request)
  }
  const impatient = createClient({ url, timeoutMs: 30, attempts: 2, fetch: counted })
  t.match(await failure(impatient.request('getStats')), { code: 'timeout' })
  t.equal(attempts, 2)
  const stalled = await fakeService(t, (_request, response) => void response.writeHead(200).write('{'))
  t.match(await failure(createClient({ url: stalled.url, timeoutMs: 30, attempts: 1 }).request('getStats')), {
    code: 'timeout',
  })
})

t.test('a deletion may take longer than other calls', async (t) => {
  const late: Handler = (request, response) => void setTimeout(json(200, { deleted_count: 1 }), 60, request, response)
  const { url } = await fakeService(t, late)
  const client = createClient({ url, timeoutMs: 20, attempts: 1 })
  t.match(await client.batches.delete('x'), { deleted_count: 1 })
})

t.test('a batch is watched to its end, whatever a proxy does with its events', async (t) => {
  const empty: Handler = (_request, response) =>
    void response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 1000\n\n')
  const kept: Handler = (_request, response) =>
    void response.writeHead(200, { 'content-type': 'text/event-stream' }).write('retry: 1000\n\n')
  const batch = { id: 'x', finished_at: '2026-01-01T00:00:00Z' }
  const watched = [empty, kept].map(async (events) => {
    const { url } = await fakeService(t, (request, response) =>
      (request.url?.endsWith('/events') ? events : json(200, batch))(request, response),
    )
    const signal = AbortSignal.timeout(60_000)
    t.match(await createClient({ url }).batches.finished('x', { timeoutMs: 1_000, signal }), batch)
  })
  await Promise.all(watched)
})

t.test('the pool of the client is that of each call that names no other, in its query or body', async (t) => {
  const { url, requests } = await fakeService(t, json(202, { id: 'x' }))
  const client = createClient({ url, pool: 'one' })
  await client.batches.create({ count: 1, pool: 'two' })
  await client.batches.create({ count: 1 })
  await client.batches.get('x')
  await client.request('getBatch', { path: { id: 'x' }, query: { pool: 'two' } })
  const unset = { pool: undefined } as unknown as { pool: string } // as of a variable of the environment that is not set
  await client.request('getBatch', { path: { id: 'x' }, query: unset })
  t.strictSame(
    requests.map((request) => request.url),
    ['', '?pool=one', '/x?pool=one', '/x?pool=two', '/x?pool=one'].map((rest) => `/v1/batches${rest}`),
  )
})

t.test('an aborted call throws the reason of its signal, while it waits and while it pauses', async (t) => {
  const reason = new Error('enough')
  for (const handler of [silence, json(503, { code: 'overloaded' }, { 'retry-after': '60' })]) {
    const { url, requests } = await fakeService(t, handler)
    const controller = new AbortController()
    const call = failure(createClient({ url }).request('getStats', { signal: controller.signal }))
    while (requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    controller.abort(reason)
    t.equal(await call, reason)
  }
})

t.test('an error has code, status, request id and every fault', async (t) => {
  const errors = [{ path: 'body.count', code: 'minimum', message: 'must be 1' }]
  const { url } = await fakeService(t, json(400, { code: 'invalid_request', instance: 'r-1', errors }))
  const error = await failure(createClient({ url, key: 'secret-key' }).batches.create({ count: 0 }))
  t.ok(error instanceof UsersyncError)
  t.match(error, { code: 'invalid_request', status: 400, requestId: 'r-1', errors, isRetryable: false })
  t.notMatch(JSON.stringify(error) + String(error), /secret-key/)
})

t.test('what does not come from usersync is said to', async (t) => {
  for (const handler of [html(200), html(404), html(302), json(404, { error: 'nothing' })]) {
    const { url } = await fakeService(t, handler)
    t.match(await failure(createClient({ url }).batches.get('x')), { code: 'not_usersync' })
  }
})

t.test('a service that is not ready says why; a proxy in its place does not', async (t) => {
  const body = { status: 'not_ready' as const, reasons: ['database'] }
  const { url, requests } = await fakeService(t, json(503, body))
  const client = createClient({ url, attempts: 1 })
  for (const id of ['getHealth', 'getReadiness'] as const) t.strictSame(await client.request(id), body)
  t.match(await failure(client.request('getStats')), { code: 'unavailable' })
  for (const handler of [html(503), json(503, {}), json(503, { code: 'overloaded' })]) {
    const other = await fakeService(t, handler)
    const error = await failure(createClient({ url: other.url, attempts: 1 }).request('getHealth'))
    t.match(error, { code: /^(unavailable|overloaded)$/, status: 503 })
  }
  t.equal(requests.length, 3)
})

t.test('another version of the service is named', async (t) => {
  const description = json(200, { openapi: '3.1.0', info: { title: 'usersync', version: '0.9.0' } })
  const { url } = await fakeService(t, json(404, { code: 'route_not_found' }), description)
  const client = createClient({ url })
  t.match(await failure(client.request('getStats')), { code: 'version_mismatch', message: /usersync 0\.9\.0.*1\.0\.0/ })
  t.match(await failure(client.checkVersion()), { code: 'version_mismatch' })
})

t.test('a wrong URL is refused before anything is sent', (t) => {
  for (const url of ['nothing', 'ftp://x', 'http://user:password@x']) t.throws(() => createClient({ url }), TypeError)
  t.end()
})
