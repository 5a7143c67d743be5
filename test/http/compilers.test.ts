import Fastify from 'fastify'
import { Type } from 'typebox'
import { compilers } from '../../src/http/compilers.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('schemas are compiled by the first request that needs them', async (t) => {
  await using app = Fastify()
  await app.register(compilers)
  const broken = { type: 'object', properties: { a: { $ref: '#/nowhere' } } }
  app.post('/body', { schema: { body: broken } }, () => ({}))
  app.get('/response', { schema: { response: { 200: broken } } }, () => ({ a: 1 }))
  await app.ready()
  t.equal((await app.inject({ method: 'POST', url: '/body', payload: {} })).statusCode, 500)
  t.equal((await app.inject('/response')).statusCode, 500)
})

t.test('every request is validated, and a response has only the members of its schema', async (t) => {
  await using app = Fastify()
  await app.register(compilers)
  const body = Type.Object({ n: Type.Integer() })
  const response = { 200: Type.Object({ n: Type.Integer() }) }
  const querystring = Type.Object({ n: Type.Optional(Type.Integer()) })
  app.post('/', { schema: { body, querystring, response } }, ({ query }) => ({ ...(query as object), secret: 1 }))
  for (const _ of [1, 2]) {
    const valid = await app.inject({ method: 'POST', url: '/?n=5', payload: { n: 1 } })
    t.match(valid, { statusCode: 200, body: '{"n":5}' }, 'a text of the query becomes a number')
    const invalid = await app.inject({ method: 'POST', url: '/?n=5', payload: { n: '1' } })
    t.match(invalid.json(), { statusCode: 400, message: 'body/n must be integer' }, 'a text of the body does not')
  }
})
