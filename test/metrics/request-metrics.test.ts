import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Test } from 'tap'
import type { Answered, Metrics } from '../../src/telemetry/metrics.ts'
import { requestMetrics } from '../../src/telemetry/request-metrics.ts'
import { suite } from '../suite.ts'

const t = suite()

/** An app whose answer says to be coded, and to be a million bytes without that; and what is told of its requests. */
async function startApp(t: Test, body: () => Readable) {
  const app = Fastify()
  const answers: Answered[] = []
  const cut: number[] = []
  const metrics = {
    answered: (answer: Answered) => void answers.push(answer),
    cutOff: (bytes: number) => void cut.push(bytes),
  } as Metrics
  await app.register(requestMetrics, { metrics })
  app.get('/coded', (_request, reply) => {
    reply.plainBytes = 1_000_000
    return reply.header('content-encoding', 'gzip').send(body())
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET /coded HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const told = async () => {
    while (cut.length === 0) await sleep(5)
    return { answers, cut }
  }
  return { socket, told }
}

t.test('what a coding saved is what the body lacks on the wire', async (t) => {
  const { socket, told } = await startApp(t, () => Readable.from(['x'.repeat(5_000)], { objectMode: false }))
  socket.resume()
  await once(socket, 'close')
  const savedBytes = 1_000_000 - socket.bytesRead
  const { answers, cut } = await told()
  t.match(answers, [{ coding: 'gzip', status: 200, wireBytes: socket.bytesRead, savedBytes }])
  t.strictSame(cut, [0], 'and nothing is left when its connection ends')
})

t.test('of an answer that is cut off nothing is said to be saved', async (t) => {
  const { socket, told } = await startApp(t, () => {
    const endless = new Readable({ read() {} })
    endless.push('x'.repeat(5_000))
    return endless
  })
  await once(socket, 'data')
  socket.destroy()
  const { answers, cut } = await told()
  t.strictSame(answers, [])
  t.ok((cut[0] ?? 0) > 5_000, `and its ${cut} bytes are counted`)
})
