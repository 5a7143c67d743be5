import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { authentication } from '../../src/auth/authentication.ts'
import { answerBudget, createBudget } from '../../src/http/answer-budget.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { requestMetrics } from '../../src/telemetry/request-metrics.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('one client can use at most half of the budget', async (t) => {
  const budget = createBudget(1_000, 20)
  const release = await budget.acquire('one', 400)
  await t.rejects(budget.acquire('one', 200), { code: 'overloaded', headers: { 'retry-after': '5' } })
  await budget.acquire('two', 500)
  const waiting = budget.acquire('one', 200)
  release()
  t.type(await waiting, 'function', 'a waiting response is admitted when there is room')
})

t.test('a response larger than its share is sent alone, and the queue is bounded', async (t) => {
  const budget = createBudget(1_000, 60_000) // longer than the test may take
  const release = await budget.acquire('one', 5_000)
  const waiting = budget.acquire('one', 200)
  await t.rejects(budget.acquire('one', 100), { code: 'overloaded' }, 'immediately')
  release()
  t.type(await waiting, 'function')
})

const TEXT_BYTES = 12_000_000 // more than the buffers of a connection: by default up to 4 MB to send and 6 MB to receive
const TEXT = 'x'.repeat(TEXT_BYTES)

/** An app whose responses are larger than what the kernel buffers for a client that does not read. */
async function listening(t: Test, options: { totalBytes: number; waitMs: number; idleMs?: number }) {
  const app = Fastify({ connectionTimeout: 60_000 })
  await app.register(requestMetrics, { metrics: createMetrics() })
  await app.register(errorResponses)
  await app.register(authentication, { keyring: undefined })
  await app.register(answerBudget, options)
  app.get('/large', () => TEXT)
  app.get('/small', () => 'x'.repeat(1_000))
  app.post('/large', () => TEXT)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const neverRead = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    socket.pause()
    socket.write('GET /large HTTP/1.1\r\nhost: x\r\n\r\n')
    t.teardown(() => void socket.destroy())
    await sleep(20)
    return socket
  }
  const send = async (method: string, path: string) => {
    const agent = new Agent({ keepAlive: true })
    t.teardown(() => agent.destroy())
    const [answer] = (await once(request({ port, method, path, agent }).end(), 'response')) as [IncomingMessage]
    return { status: answer.statusCode, text: await text(answer) }
  }
  return { app, neverRead, send }
}

t.test(
  'while responses wait for a client, large ones are rejected; small ones, and those to changes, are sent',
  async (t) => {
    const { neverRead, send } = await listening(t, { totalBytes: 3 * TEXT_BYTES, waitMs: 50 })
    const reader = await neverRead()
    t.match(await send('GET', '/large'), { status: 503, text: /"code":"overloaded"/ })
    t.equal((await send('GET', '/small')).status, 200)
    t.equal((await send('POST', '/large')).text.length, TEXT_BYTES)
    reader.destroy()
    await sleep(50)
    t.equal((await send('GET', '/large')).text.length, TEXT_BYTES, 'a client that disconnects releases its room')
    t.equal(
      (await send('GET', '/large')).text.length,
      TEXT_BYTES,
      'a client that has read its response releases its room',
    )
  },
)

t.test('memory stays bounded, however many clients read nothing', async (t) => {
  const READERS = 12
  const { neverRead, send } = await listening(t, { totalBytes: 3 * TEXT_BYTES, waitMs: 100 })
  const before = process.memoryUsage.rss()
  for (let n = 0; n < READERS; n++) await neverRead()
  const grown = process.memoryUsage.rss() - before
  t.ok(
    grown < (READERS * TEXT_BYTES) / 2,
    `${Math.round(grown / 1e6)} MB for responses of ${(READERS * TEXT_BYTES) / 1e6} MB`,
  )
  t.equal((await send('GET', '/small')).status, 200)
})

/** Longer than a client that reads takes, even on a busy machine. */
const IDLE_MS = 1_000

t.test('a connection whose client reads nothing is closed', async (t) => {
  const { app, neverRead, send } = await listening(t, { totalBytes: 3 * TEXT_BYTES, waitMs: 20_000, idleMs: IDLE_MS })
  await neverRead()
  t.equal((await send('GET', '/large')).status, 200, 'a response that waited for its room is sent')
  const [socket] = await Promise.all([once(app.server, 'connection'), send('GET', '/large')])
  t.not(socket[0].timeout, IDLE_MS, 'after the response is read, the connection has the server’s timeouts again')
})
