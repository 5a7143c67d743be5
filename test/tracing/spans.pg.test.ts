import type { SyncRun } from '../../src/sync/sync-runs.ts'
import { testDatabase } from '../database.ts'
import { startService } from '../http/service.ts'
import { startServerProcess } from '../server-process.ts'
import { suite } from '../suite.ts'
import { CLIENT, SERVER, startCollector } from './collector.ts'

const t = suite()

/* What a collector receives about a service's work, and what it must not receive. */

const KEY = 'key-of-the-test-that-nobody-may-see-0123456789'
const PASSWORD = 'password-that-nobody-may-see-9876'
const authorization = `Bearer ${KEY}`
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

const collector = await startCollector(t)
const { call, log } = await startService(t, {
  API_KEYS: `ci=admin=${KEY}`,
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  MAX_WORKERS: '1',
})

const config = { password: PASSWORD, password_hash: { algorithm: 'pbkdf2_sha256' }, username_pattern: 'seen_{n}' }

t.test('a request is a child of the span in traceparent', async (t) => {
  const headers = { authorization, traceparent: `00-${TRACE}-${PARENT}-01` }
  t.equal(
    (await call('GET', '/v1/users?limit=7&batch_id=00000000-0000-7000-8000-000000000000', { headers })).status,
    200,
  )
  const [span] = await collector.find(({ traceId }) => traceId === TRACE)
  const [line] = log.map((text) => JSON.parse(text)).filter(({ trace_id }) => trace_id === TRACE)
  t.match(line, { msg: 'request', route: '/v1/users' }, 'its log line has the trace id')
  t.strictSame(span?.attributes, {
    'http.request.method': 'GET',
    'http.route': '/v1/users',
    'url.scheme': 'http',
    'url.path': '/v1/users',
    'http.response.status_code': 200,
    'usersync.request.id': line.reqId,
  })
  t.match(span, { name: 'GET /v1/users', kind: SERVER, parentSpanId: PARENT, service: 'usersync', status: { code: 0 } })
  const ms = Number(BigInt(span?.endTimeUnixNano ?? 0) - BigInt(span?.startTimeUnixNano ?? 0)) / 1e6
  t.ok(ms > 0 && ms < 20_000, `it took ${ms} ms`)
  t.strictSame([...new Set(collector.requests.map(({ path }) => path))], ['/v1/traces'])
})

t.test('a request without a valid traceparent starts a trace', async (t) => {
  for (const traceparent of ['', 'nonsense', `00-${'0'.repeat(32)}-${PARENT}-01`, `ff-${TRACE}-${PARENT}-01`]) {
    const { headers } = await call('GET', '/v1/pools', { headers: { authorization, traceparent } })
    t.notOk('traceparent' in headers)
  }
  const spans = await collector.find(({ name }) => name === 'GET /v1/pools', 4)
  t.equal(new Set(spans.map(({ traceId }) => traceId)).size, 4)
  t.notOk(spans.some(({ traceId, parentSpanId }) => traceId === TRACE || parentSpanId))
})

t.test('a traceparent that is not sampled is respected', async (t) => {
  const traceId = 'a'.repeat(32)
  await call('GET', '/v1/templates', { headers: { authorization, traceparent: `00-${traceId}-${PARENT}-00` } })
  await call('GET', '/v1/targets', { headers: { authorization } })
  await collector.find(({ name }) => name === 'GET /v1/targets')
  t.notOk(collector.spans.some((span) => span.traceId === traceId))
  t.ok(
    log.some((line) => line.includes(`"trace_id":"${traceId}"`)),
    'its log lines have the trace id anyway',
  )
})

t.test('only internal errors are error spans, and a rejected path is not sent', async (t) => {
  const requests = [
    ['GET', '/v1/users/alice-that-nobody-may-see', 'GET /v1/users/:id', '400'],
    ['GET', '/alice-that-nobody-may-see', 'GET', '404'],
    ['PURGE', '/v1/users', 'HTTP /v1/users', '405'],
  ] as const
  for (const [method, path, name, status] of requests) {
    const answer = await call(method, `${path}?x=${PASSWORD}`, { headers: { authorization } })
    t.equal(String(answer.status), status)
    const [span] = await collector.find((one) => one.name === name)
    t.match(span, { status: { code: 0 }, attributes: { 'http.response.status_code': answer.status } }, name)
    t.notOk('url.path' in (span?.attributes ?? {}) || 'error.type' in (span?.attributes ?? {}))
  }
})

t.test('probes are not traced', async (t) => {
  for (const path of ['/livez', '/readyz', '/healthz', '/metrics']) t.equal((await call('GET', path)).status, 200)
  await call('GET', '/openapi.json')
  t.equal((await collector.find(({ name }) => name === 'GET /openapi.json')).length, 1)
  t.notOk(collector.spans.some(({ name }) => /livez|readyz|healthz|metrics/.test(name)))
})

t.test('the chunks of a batch are one trace, which has the batch’s id', async (t) => {
  const body = { count: 25, config: { ...config, chunk_size: 10 } }
  const make = () =>
    call<{ id: string }>('POST', '/v1/batches', { body, headers: { authorization, prefer: 'wait=30' } })
  const { json: batch } = await make()
  const chunks = await collector.find(({ name, traceId }) => name === 'chunk' && traceId === traceOf(batch.id), 4)
  t.strictSame(
    chunks.filter(({ parentSpanId }) => !parentSpanId).map(({ attributes }) => attributes),
    [
      ['credentials', 1, 0],
      ['users', 1, 10],
      ['users', 11, 10],
      ['users', 21, 5],
    ].map(([kind, first, created]) => ({
      'usersync.batch.id': batch.id,
      'usersync.chunk.kind': kind,
      'usersync.chunk.first_n': first,
      'usersync.chunk.created': created,
      'usersync.chunk.failed': 0,
    })),
  )
  t.ok(chunks.every(({ startTimeUnixNano, endTimeUnixNano }) => BigInt(startTimeUnixNano) < BigInt(endTimeUnixNano)))

  const { json: again } = await make()
  const failed = await collector.find(({ traceId }) => traceId === traceOf(again.id), 4)
  t.equal(failed.filter(({ attributes }) => attributes['usersync.chunk.failed'] === 10).length, 2, 'names are taken')
  const posts = await collector.find(({ name }) => name === 'POST /v1/batches', 2)
  t.strictSame(
    posts.map(({ attributes }) => attributes['http.response.header.location']),
    [batch, again].map(({ id }) => ({ values: [{ stringValue: `/v1/batches/${id}` }] })),
    'the request that created the batch has its location',
  )
})

const traceOf = (batchId: string) => batchId.replaceAll('-', '')

t.test('a push and the requests at its target are one trace', async (t) => {
  const receiver = await startServerProcess(t, {
    DATABASE_URL: await testDatabase(),
    ENCRYPTION_KEY: 'c3'.repeat(32),
    MAX_WORKERS: '1',
    API_KEYS: `sender=admin=${KEY}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/base/`,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=load%20tests',
    OTEL_SERVICE_NAME: 'receiver',
  })
  const body = { name: 'tester', url: receiver.url, key: KEY }
  t.equal((await call('POST', '/v1/targets', { body, headers: { authorization } })).status, 201)
  const { json: run } = await call<SyncRun>('POST', '/v1/sync', {
    body: { target: 'tester' },
    headers: { authorization },
  })
  const [push] = await collector.find(({ name }) => name === 'push')
  t.match(push, { kind: CLIENT, service: 'usersync', status: { code: 0 } })
  t.notOk(push?.parentSpanId)
  t.match(push?.attributes, {
    'server.address': '127.0.0.1',
    'usersync.sync.run.id': run.id,
    'usersync.sync.target': 'tester',
    'usersync.sync.kind': 'delta',
    'usersync.sync.attempts': 1,
  })
  const there = await collector.find(({ service, traceId }) => service === 'receiver' && traceId === push?.traceId, 2)
  t.strictSame(
    there.map(({ name, kind, parentSpanId }) => [name, kind, parentSpanId]),
    Array(2).fill(['PUT /v1/replica/users', SERVER, push?.spanId]),
    'its state is requested, then the difference is sent',
  )
  const seen = collector.requests.find(({ path }) => path === '/base/v1/traces')
  t.equal(seen?.headers['x-tenant'], 'load tests', 'headers for the collector come from the environment')

  await receiver.end('SIGKILL')
  await call('PATCH', '/v1/targets/tester', { body: { key: PASSWORD }, headers: { authorization } })
  await call('POST', '/v1/sync', { body: { target: 'tester' }, headers: { authorization } })
  const [failed] = await collector.find(({ status, name }) => name === 'push' && status.code === 2)
  t.match(failed?.attributes, { 'error.type': 'unreachable', 'usersync.sync.attempts': 4 })
})

t.test('no secret, query or user is sent to the collector', (t) => {
  t.ok(collector.received.length > 5_000)
  for (const secret of [KEY, PASSWORD, 'that-nobody-may-see', 'seen_', '?', 'select'])
    t.notOk(collector.received.includes(secret), secret)
  t.end()
})
