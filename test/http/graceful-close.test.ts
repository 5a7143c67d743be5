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

/** Long beside what a request takes, even on a busy machine. */
const DELAY_MS = 2_000

/** A listening app: `/` answers at once, `/held` begins its answer and ends it when it is let go. */
async function listening(t: Test) {
  const letGo = Promise.withResolvers<void>()
  const app = Fastify({ keepAliveTimeout: 72_000, return503OnClosing: false })
  await app.register(gracefulClose)
  app.get('/', () => 'done')
  app.get('/late', () => letGo.promise.then(() => 'done'))
  app.get('/late-head', (_request, reply) => letGo.promise.then(() => sendHead(reply, 304, {})))
  app.get('/held', (_request, reply) => {
    reply.hijack()
    reply.raw.write('begun, ')
    void letGo.promise.then(() => reply.raw.end('done'))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const agents: Agent[] = []
  t.teardown(() => {
    letGo.resolve()
    for (const agent of agents) agent.destroy()
    return app.close()
  })
  /** A client with one connection, which it keeps; gives the answer as soon as its head is there. */
  const client = () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    agents.push(agent)
    return async (path: string) => {
      const [answer] = (await once(request({ port, path, agent }).end(), 'response')) as [IncomingMessage]
      const ended = answer.toArray()
      return { status: answer.statusCode, connection: answer.headers.connection, ended }
    }
  }
  return { app, client, letGo: letGo.resolve }
}

t.test('serves on, then tells each connection with its next answer, and hangs up on none before', async (t) => {
  const { app, client } = await listening(t)
  const [used, idle] = [client(), client()]
  for (const get of [used, idle]) await (await get('/')).ended
  const closed = app.gracefulClose(DELAY_MS)
  const onNew = await client()('/')
  t.match(onNew, { status: 200, connection: 'keep-alive' }, 'a new connection at first')
  t.match(await used('/'), { status: 200, connection: 'keep-alive' }, 'and one that was there')

  await sleep(DELAY_MS * 1.2)
  await t.rejects(client()('/'), { code: 'ECONNREFUSED' }, 'later no new connection')
  t.match(await idle('/'), { status: 200, connection: 'close' }, 'one that has been idle all the time is still served')
  t.match(await used('/'), { status: 200, connection: 'close' })
  const began = performance.now()
  await closed
  t.ok(performance.now() - began < DELAY_MS * 1.5, 'it ends by itself')
})

t.test('a connection on which no request has begun, or not wholly, keeps nobody waiting', async (t) => {
  const { app } = await listening(t)
  const { port } = app.server.address() as AddressInfo
  const [silent, half] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  half.write('GET / HTTP/1.1\r\nHo')
  await Promise.all([once(silent, 'connect'), once(half, 'connect')])
  await sleep(100)
  const ended = Promise.all([once(silent.resume(), 'close'), once(half.resume(), 'close')])
  await app.gracefulClose(0)
  await ended
})

t.test('an answer that was not begun is the last of its connection', async (t) => {
  const { app, client, letGo } = await listening(t)
  const [late, lateHead] = [client()('/late'), client()('/late-head')]
  await sleep(100)
  const closed = app.gracefulClose(0)
  await sleep(100)
  letGo()
  t.match(await lateHead, { status: 304, connection: 'close' }, 'without a body too')
  t.match(await late, { status: 200, connection: 'close' })
  await closed
})

t.test('one that was begun is sent to its end, and its connection holds up nothing', async (t) => {
  const { app, client, letGo } = await listening(t)
  const { connection, ended } = await client()('/held')
  t.equal(connection, 'keep-alive')
  const closed = app.gracefulClose(0)
  await sleep(100)
  letGo()
  t.equal(String(Buffer.concat(await ended)), 'begun, done')
  const began = performance.now()
  await closed
  t.ok(performance.now() - began < 20_000, 'by far earlier than an idle connection is closed else')
})

t.test('without a delay idle connections are closed at once', async (t) => {
  const { app, client } = await listening(t)
  await (await client()('/')).ended
  const began = performance.now()
  await app.gracefulClose(0)
  t.ok(performance.now() - began < 1_000)
})

t.test('what does not listen is closed without a delay', async (t) => {
  const app = Fastify()
  await app.register(gracefulClose)
  await app.ready()
  const began = performance.now()
  await app.gracefulClose(60_000)
  t.ok(performance.now() - began < 10_000)
})
