import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { authentication, authorization } from '../../src/auth/authentication.ts'
import { parseApiKeys } from '../../src/config/api-keys.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { overload } from '../../src/http/overload.ts'
import { suite } from '../suite.ts'

const t = suite()

const secretOf = (name: string) => `${name}-s3cret-of-32-characters-or-more`
const keys = parseApiKeys(['one', 'two'].map((name) => `${name}=users:read=${secretOf(name)}`).join(','))

/** Blocks the event loop without using the CPU. */
function block(milliseconds: number) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** Sample interval of the event-loop delay in these tests. */
const SAMPLE_MS = 250

/** A listening app: `/slow` responds when it is released, `/work` immediately, `/livez` always. */
async function listening(
  t: Test,
  options: { maxRequests?: number; rateLimit?: number; maxDelayMs?: number; withKeys?: boolean; startMs?: number },
) {
  const { maxRequests = 100, rateLimit = 0, maxDelayMs = 5_000, withKeys = false, startMs = 0 } = options
  const app = Fastify()
  const pending: (() => void)[] = []
  await app.register(errorResponses)
  await app.register(authentication, { keyring: withKeys ? { keys: () => keys, stop: () => {} } : undefined })
  await app.register(overload, { maxRequests, rateLimit, maxDelayMs, sampleMs: SAMPLE_MS })
  await app.register(authorization)
  const config = { scope: 'users:read' } as const
  app.get('/slow', { config }, () => new Promise((resolve) => pending.push(() => resolve('done'))))
  let worked = 0
  app.get('/work', { config }, () => {
    worked++
    return 'done'
  })
  let refused = 0
  app.addHook('onSend', (_request, reply, payload, next) => {
    if (reply.statusCode === 503) refused++
    next(null, payload)
  })
  app.get('/livez', () => String(refused))
  await app.ready()
  block(startMs)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    for (const release of pending) release()
    await app.close()
  })
  const { port } = app.server.address() as AddressInfo
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }
  const until = async (count: number) => {
    for (const deadline = Date.now() + 5_000; Date.now() < deadline && pending.length < count; ) await sleep(5)
  }
  return { port, get, pending, until, worked: () => worked, refused: () => refused }
}

t.test('a request above the limit is rejected immediately, and a released place is used again', async (t) => {
  const { get, pending, until } = await listening(t, { maxRequests: 2 })
  const first = [get('/slow'), get('/slow')]
  await until(2)
  const refused = await get('/work')
  t.match(refused, { status: 503, text: /"code":"overloaded"/ })
  t.equal(refused.headers.get('retry-after'), '1')
  t.equal((await get('/livez')).status, 200, 'the health route responds')
  pending[0]?.()
  await Promise.race(first)
  t.equal((await get('/work')).status, 200)
})

t.test('health does not wait for all earlier requests', async (t) => {
  const { port, get, worked } = await listening(t, { maxRequests: 1_000 })
  await get('/livez')
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.resume()
  socket.write('GET /work HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(300))
  t.equal((await get('/livez')).status, 200)
  t.ok(worked() < 300, `${worked()} of 300 had started`)
  for (const deadline = Date.now() + 5_000; Date.now() < deadline && worked() < 300; ) await sleep(5)
  t.equal(worked(), 300, 'all are served in the end')
})

t.test('health does not wait for all rejections', async (t) => {
  const { port, get, until, refused } = await listening(t, { maxRequests: 1 })
  const pending = get('/slow').catch(() => {})
  await until(1)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.resume()
  socket.write('GET /work HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_000))
  const { text } = await get('/livez')
  t.ok(Number(text) < 500, `${text} of 1,000 were rejected`)
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && refused() < 1_000; ) await sleep(5)
  t.equal(refused(), 1_000, 'all are rejected in the end')
  void pending
})

t.test('a client that disconnects releases its place', async (t) => {
  const { port, get, until, pending } = await listening(t, { maxRequests: 1 })
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
  await until(1)
  t.equal((await get('/work')).status, 503)
  socket.destroy()
  for (const deadline = Date.now() + 5_000; Date.now() < deadline && (await get('/work')).status !== 200; )
    await sleep(5)
  t.equal((await get('/work')).status, 200)
  t.equal(pending.length, 1)
})

t.test('a process with a high event-loop delay rejects work, and its health route still responds', async (t) => {
  const { get } = await listening(t, { maxDelayMs: 0.2 * SAMPLE_MS })
  const behind = setInterval(block, 0, 0.4 * SAMPLE_MS)
  try {
    await sleep(2.5 * SAMPLE_MS)
    const [work, health] = await Promise.all([get('/work'), get('/livez')])
    t.match(work, { status: 503, text: /"code":"overloaded"/ })
    t.equal(health.status, 200)
  } finally {
    clearInterval(behind)
  }
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && (await get('/work')).status !== 200; )
    await sleep(100)
  t.equal((await get('/work')).status, 200, 'and accepts it again later')
})

t.test('a slow start does not reject the first requests', async (t) => {
  // Many times the delay of a busy machine, and a fourth of the start's.
  const { get } = await listening(t, { maxDelayMs: 100, startMs: 400 })
  for (let n = 0; n < 5; n++) {
    t.equal((await get('/work')).status, 200)
    await sleep(SAMPLE_MS / 10)
  }
})

t.test('a delay missed by one sample does not reject requests', async (t) => {
  const { get } = await listening(t, {})
  await sleep(2.5 * SAMPLE_MS)
  // All of these are due when the first ends. The delay is sampled after it and after the second, and measured once.
  setTimeout(block, 1, 2.2 * SAMPLE_MS)
  setTimeout(block, 2 * SAMPLE_MS, 1.2 * SAMPLE_MS)
  await sleep(2.05 * SAMPLE_MS)
  for (let n = 0; n < 5; n++) t.equal((await get('/work')).status, 200)
})

t.test('one key can use at most three quarters of the places', async (t) => {
  const { get, pending, until } = await listening(t, { maxRequests: 4, withKeys: true })
  const as = (name: string, path: string) => get(path, { authorization: `Bearer ${secretOf(name)}` })
  const first = [as('one', '/slow'), as('one', '/slow'), as('one', '/slow')]
  await until(3)
  const refused = await as('one', '/work')
  t.match(refused, { status: 429, text: /"code":"rate_limited"/ })
  t.equal(refused.headers.get('retry-after'), '1')
  t.equal((await as('two', '/work')).status, 200)
  pending[0]?.()
  await first[0]
  t.equal((await as('one', '/work')).status, 200, 'a released place is used again')
})

t.test('each key has its own rate limit', async (t) => {
  const { get } = await listening(t, { rateLimit: 3, withKeys: true })
  const as = (name: string) => get('/work', { authorization: `Bearer ${secretOf(name)}` })
  const answers = [await as('one'), await as('one'), await as('one'), await as('one')]
  t.strictSame(
    answers.map(({ status }) => status),
    [200, 200, 200, 429],
  )
  const [first, , , last] = answers
  t.equal(first?.headers.get('ratelimit-limit'), '3')
  t.equal(first?.headers.get('ratelimit-remaining'), '2')
  t.match(last?.text, /"code":"rate_limited"/)
  t.ok(Number(last?.headers.get('retry-after')) > 0 && Number(last?.headers.get('retry-after')) <= 60)
  t.equal((await as('two')).status, 200)
  t.equal((await get('/livez')).status, 200)
})

t.test('requests without a key are counted by address, separately from the keys', async (t) => {
  const { get } = await listening(t, { rateLimit: 3, withKeys: true })
  const statuses: number[] = []
  for (const authorization of ['Bearer wrong', 'Bearer other', '', '']) {
    statuses.push((await get('/work', authorization === '' ? {} : { authorization })).status)
  }
  t.strictSame(statuses, [401, 401, 401, 429])
  t.equal((await get('/nothing')).status, 429, 'also for an unknown route')
  t.equal((await get('/work', { authorization: `Bearer ${secretOf('one')}` })).status, 200)
  t.equal((await get('/livez')).status, 200)
})
