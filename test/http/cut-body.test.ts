import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { compression } from '../../src/http/compression.ts'
import { cutBodies } from '../../src/http/cut-body.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { suite } from '../suite.ts'

const t = suite()

const app = Fastify()
await app.register(errorResponses)
await app.register(cutBodies)
await app.register(compression, { threshold: 0 })
const rows = (count: number) =>
  Array.from({ length: count }, (_, n) => `${n},user${n}@example.com,${Math.random()}\n`).join('')
app.get('/:kind', (request, reply) => {
  const { kind } = request.params as { kind: string }
  async function* body() {
    if (kind === 'refused') throw new Error('no row')
    yield rows(10_000)
    while (!reply.raw.headersSent) await sleep(1)
    if (kind === 'cut') throw new Error('no more rows')
    yield rows(10_000)
  }
  return reply.type('text/csv').send(Readable.from(body(), { objectMode: false }))
})
await app.listen({ host: '127.0.0.1', port: 0 })
t.teardown(() => app.close())

/** What a client of HTTP/1.0 gets, and how the connection ends. */
async function get(path: string, headers = ''): Promise<{ text: string; end: 'end' | 'reset' }> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.0\r\nhost: localhost\r\n${headers}\r\n`)
  let text = ''
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
  })
  const error = await once(socket, 'end').catch((error) => error as NodeJS.ErrnoException)
  return { text, end: 'code' in error && error.code === 'ECONNRESET' ? 'reset' : 'end' }
}

t.test('the connection of HTTP/1.0 is reset if the body is cut, and ends otherwise', async (t) => {
  for (const headers of ['', 'accept-encoding: gzip\r\n']) {
    t.match(await get('/whole', headers), { text: /^HTTP\/1\.1 200 /, end: 'end' })
    t.match(await get('/cut', headers), { end: 'reset' }, headers)
    t.match(await get('/refused', headers), { text: /^HTTP\/1\.1 500 /, end: 'end' }, 'nothing was sent')
  }
})
