import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { pino } from 'pino'
import { startTracing } from '../../src/telemetry/tracing.ts'
import { suite } from '../suite.ts'
import { startCollector } from './collector.ts'

const t = suite()

const collector = await startCollector(t)
const tracing = startTracing(collector.url, pino({ level: 'silent' }))
const app = Fastify()
await tracing.traceRequests(app)
app.get('/broken/:id', () => {
  throw new Error('fault-that-nobody-may-see')
})
const entered = Promise.withResolvers<void>()
app.get('/endless', () => {
  entered.resolve()
  return new Promise(() => {})
})
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
t.teardown(async () => {
  await app.close()
  await tracing.stop()
})

t.test('an internal error is an error span', async (t) => {
  t.equal((await fetch(`http://127.0.0.1:${port}/broken/7?x=1`)).status, 500)
  const [span] = await collector.find(({ name }) => name === 'GET /broken/:id')
  t.match(span, {
    status: { code: 2 },
    attributes: { 'http.response.status_code': 500, 'error.type': '500', 'url.path': '/broken/7' },
  })
  t.notOk(collector.received.includes('fault-that-nobody-may-see'))
})

t.test('the span of a request whose client disconnects ends without a status', async (t) => {
  const sent = request({ host: '127.0.0.1', port, path: '/endless' }).end()
  sent.on('error', () => {})
  await entered.promise
  sent.destroy()
  const [span] = await collector.find(({ name }) => name === 'GET /endless')
  t.match(span, { status: { code: 0 }, attributes: { 'http.route': '/endless' } })
  t.notOk('http.response.status_code' in (span?.attributes ?? {}))
})
