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

/** An app whose response claims to be compressed from a million bytes, with the metrics recorded for its requests. */
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
  const recorded = async () => {
    while (cut.length === 0) await sleep(5)
    return { answers, cut }
  }
  return { socket, recorded }
}

t.test('the saved bytes are the uncompressed size minus the bytes sent', async (t) => {
  const { socket, recorded } = await startApp(t, () => Readable.from(['x'.repeat(5_000)], { objectMode: false }))
  socket.resume()
  await once(socket, 'close')
  const savedBytes = 1_000_000 - socket.bytesRead
  const { answers, cut } = await recorded()
  t.match(answers, [{ coding: 'gzip', status: 200, wireBytes: socket.bytesRead, savedBytes }])
  t.strictSame(cut, [0], 'nothing is left when its connection closes')
})

t.test('a response that is cut off counts no saved bytes', async (t) => {
  const { socket, recorded } = await startApp(t, () => {
    const endless = new Readable({ read() {} })
    endless.push('x'.repeat(5_000))
    return endless
  })
  await once(socket, 'data')
  socket.destroy()
  const { answers, cut } = await recorded()
  t.strictSame(answers, [])
  t.ok((cut[0] ?? 0) > 5_000, `its ${cut} bytes are counted`)
})
