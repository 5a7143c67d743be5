import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { sendHead } from '../../src/http/compression.ts'
import { gracefulClose } from '../../src/http/graceful-close.ts'
import { suite } from '../suite.ts'

const t = suite()

t.jobs = 8 // the tests wait most of the time, each for a server of its own

/** Longer than a request takes, even on a busy machine. */
const DELAY_MS = 1_200

/** A listening app: `/` responds immediately, `/slow` starts its response and ends it on `release`. */
async function listening(t: Test) {
  const release = Promise.withResolvers<void>()
  const app = Fastify({ keepAliveTimeout: 72_000, return503OnClosing: false })
  await app.register(gracefulClose)
  app.get('/', () => 'done')
  app.get('/late', () => release.promise.then(() => 'done'))
  app.get('/late-head', (_request, reply) => release.promise.then(() => sendHead(reply, 304, {})))
  app.get('/slow', (_request, reply) => {
    reply.hijack()
    reply.raw.write('begun, ')
    void release.promise.then(() => reply.raw.end('done'))
  })
  let connections = 0
  let requests = 0
  app.server.on('connection', () => connections++).on('request', () => requests++)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const agents: Agent[] = []
  t.teardown(() => {
    release.resolve()
    for (const agent of agents) agent.destroy()
    return app.close()
  })
  /** A client with one keep-alive connection. It returns the response as soon as its headers arrive. */
  const client = () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    return async (path: string) => {
      const [answer] = (await once(request({ port, path, agent }).end(), 'response')) as [IncomingMessage]
      const ended = answer.toArray()
      return { status: answer.statusCode, connection: answer.headers.connection, ended }
    }
  }
  /** Waits, at most 10 s, until this many connections and requests have arrived. */
  const arrived = (count: { connections?: number; requests?: number }) =>
    until(() => connections >= (count.connections ?? 0) && requests >= (count.requests ?? 0))
  return { app, client, release: release.resolve, arrived }
}

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline && !isSo(); ) await sleep(5)
}

t.test('gracefulClose keeps serving, then closes each connection with its next response', async (t) => {
  const { app, client } = await listening(t)
  const [used, idle] = [client(), client()]
  for (const get of [used, idle]) await (await get('/')).ended
  const closed = app.gracefulClose(DELAY_MS)
  const onNew = await client()('/')
  t.match(onNew, { status: 200, connection: 'keep-alive' }, 'a new connection at first')
  t.match(await used('/'), { status: 200, connection: 'keep-alive' }, 'an existing connection')

  await sleep(DELAY_MS * 1.2)
  await t.rejects(client()('/'), { code: 'ECONNREFUSED' }, 'no new connections later')
  t.match(await idle('/'), { status: 200, connection: 'close' }, 'a connection that was idle is still served')
  t.match(await used('/'), { status: 200, connection: 'close' })
  const began = performance.now()
  await closed
  t.ok(performance.now() - began < DELAY_MS * 1.5, 'it ends before the server’s timeouts')
})

t.test('a connection without a complete request does not delay the close', async (t) => {
  const { app, arrived } = await listening(t)
  const { port } = app.server.address() as AddressInfo
  const [silent, half] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  half.write('GET / HTTP/1.1\r\nHo')
  await arrived({ connections: 2 })
  const ended = Promise.all([once(silent.resume(), 'close'), once(half.resume(), 'close')])
  await app.gracefulClose(0)
  await ended
})

t.test('a response that had not started is the last on its connection', async (t) => {
  const { app, client, release, arrived } = await listening(t)
  const [late, lateHead] = [client()('/late'), client()('/late-head')]
  await arrived({ requests: 2 })
  const closed = app.gracefulClose(0)
  await until(() => !app.server.listening)
  release()
  t.match(await lateHead, { status: 304, connection: 'close' }, 'also without a body')
  t.match(await late, { status: 200, connection: 'close' })
  await closed
})

t.test('a response that had started is completed, and its connection does not delay the close', async (t) => {
  const { app, client, release } = await listening(t)
  const { connection, ended } = await client()('/slow')
  t.equal(connection, 'keep-alive')
  const closed = app.gracefulClose(0)
  await until(() => !app.server.listening)
  release()
  t.equal(String(Buffer.concat(await ended)), 'begun, done')
  const began = performance.now()
  await closed
  t.ok(performance.now() - began < 20_000, 'much earlier than the keep-alive timeout')
})

t.test('without a delay, idle connections are closed immediately', async (t) => {
  const { app, client } = await listening(t)
  await (await client()('/')).ended
  const began = performance.now()
  await app.gracefulClose(0)
  t.ok(performance.now() - began < 10_000) // the keep-alive timeout is 72 s
})

t.test('an app that does not listen is closed without the delay', async (t) => {
  const app = Fastify()
  await app.register(gracefulClose)
  await app.ready()
  const began = performance.now()
  await app.gracefulClose(60_000)
  t.ok(performance.now() - began < 10_000)
})
