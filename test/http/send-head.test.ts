import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { sendHead } from '../../src/http/compression.ts'
import { gracefulClose } from '../../src/http/graceful-close.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('sendHead sends the status and all headers once, and the response ends', async (t) => {
  const ended: unknown[] = []
  const app = Fastify()
  await app.register(gracefulClose)
  app.addHook('onRequest', (_request, reply, next) => {
    reply.header('ratelimit-limit', 3)
    next()
  })
  app.addHook('onResponse', (_request, reply, next) => {
    ended.push(reply.statusCode)
    next()
  })
  app.get('/', async (_request, reply) => sendHead(reply, 304, { etag: '"a"' }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  for (const method of ['GET', 'HEAD']) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method })
    t.equal(answer.status, 304)
    t.match(Object.fromEntries(answer.headers), { etag: '"a"', 'ratelimit-limit': '3', 'transfer-encoding': undefined })
    t.notOk(
      [...answer.headers.keys()].some((name) => name.startsWith('content-')),
      'no header describes a body',
    )
    t.equal(await answer.text(), '')
  }
  t.same(ended, [304, 304])
})
