import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { bodyDeadline } from '../../src/http/request-body.ts'
import { suite } from '../suite.ts'

const t = suite()

t.jobs = 8 // the tests wait most of the time

/** Longer than a client takes that sends at once, even on a busy machine. */
const DEADLINE_MS = 800
const LATE_MS = 1_000

const app = Fastify()
await app.register(bodyDeadline, { milliseconds: DEADLINE_MS })
app.post('/', (request) => request.body)
app.post('/slow', async () => await sleep(LATE_MS, { slept: true }))
app.post('/own', { config: { readsBody: true } }, (request) => request.body)
app.get('/begun', (_request, reply) => {
  reply.hijack()
  reply.raw.writeHead(200, { 'content-length': 1_000 }).write('begun')
})
await app.listen({ port: 0, host: '127.0.0.1' })
t.teardown(() => app.close())

/** Sends the headers and the body in two halves. Returns the response. */
async function send(path: string, pauseMs: number): Promise<string> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  const answer = text(socket)
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{"a"`,
  )
  await sleep(pauseMs)
  if (socket.writable) socket.write(':1}')
  return answer
}

t.test('a body that does not arrive in time gets 408', async (t) => {
  const [late, fast] = await Promise.all([send('/', LATE_MS), send('/', 20)])
  t.match(late, /^HTTP\/1\.1 408 .*"code":"request_timeout"/s)
  t.match(fast, /^HTTP\/1\.1 200 .*\{"a":1\}/s)
})

t.test('the deadline does not apply to the response, or to a route that reads its own body', async (t) => {
  const [slow, own] = await Promise.all([send('/slow', 20), send('/own', LATE_MS)])
  t.match(slow, /^HTTP\/1\.1 200 .*\{"slept":true\}/s)
  t.match(own, /^HTTP\/1\.1 200 .*\{"a":1\}/s)
})

t.test('sending a byte now and then does not extend the deadline', async (t) => {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  const answer = text(socket)
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n')
  const bytes = setInterval(() => socket.writable && socket.write(' '), 50)
  t.match(await answer, /^HTTP\/1\.1 408 .*"code":"request_timeout"/s)
  clearInterval(bytes)
})

t.test('the 408 is not written into the response to the previous request', async (t) => {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  const head = 'content-type: application/json\r\ncontent-length: 7\r\n\r\n'
  socket.write(`GET /begun HTTP/1.1\r\nhost: x\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\n${head}{"a"`)
  t.match(await text(socket), /^HTTP\/1\.1 200 .*\r\n\r\nbegun$/s)
})
