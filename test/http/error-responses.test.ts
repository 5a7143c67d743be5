import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import postgres from 'postgres'
import { Type } from 'typebox'
import { connect as connectDatabase } from '../../src/database/connection.ts'
import { ERRORS, type ErrorCode, Problem, retryLater } from '../../src/errors.ts'
import { compilers } from '../../src/http/compilers.ts'
import { answerClientError, clientErrorResponse, errorResponses } from '../../src/http/error-responses.ts'
import { validation } from '../../src/http/validation.ts'
import { suite } from '../suite.ts'

const t = suite()

/** An error as the driver creates it from a message of PostgreSQL. */
function postgresError(code: string): Error {
  const PostgresError = postgres.PostgresError as unknown as new (fields: object) => Error
  return new PostgresError({
    code,
    message: 'duplicate key value violates unique constraint "users_email"',
    detail: 'Key (pool_id, email)=(1, alice@example.com) already exists.',
    table_name: 'users',
    constraint_name: 'users_email',
  })
}

let thrown: Error
const failing = Fastify()
await failing.register(errorResponses)
failing.get('/', () => Promise.reject(thrown))

/** The response to a request whose route throws `error`. */
function answerTo(error: Error) {
  thrown = error
  return failing.inject('/')
}

t.test('every error of the catalogue is sent as a problem', async (t) => {
  for (const [code, { status, title }] of Object.entries(ERRORS)) {
    const errors = [{ path: 'body.x', code: 'minimum', message: 'is too small' }]
    const problem = new Problem(code as ErrorCode, 'What to do.', { errors, headers: { 'retry-after': '3' } })
    const response = await answerTo(problem)
    t.equal(response.statusCode, status, code)
    t.match(response.headers, { 'content-type': /^application\/problem\+json/, 'retry-after': '3' }, code)
    t.equal(response.headers['cache-control'], 'no-store', code)
    const { instance, ...rest } = response.json()
    t.type(instance, 'string')
    t.strictSame(
      rest,
      { type: `urn:usersync:problem:${code}`, title, status, detail: 'What to do.', code, errors },
      code,
    )
  }
})

t.test('an unknown error is a 500 without details', async (t) => {
  const response = await answerTo(new Error('password hunter2 in /etc/secret'))
  t.match(response.json(), { status: 500, code: 'internal_error' })
  t.notMatch(response.body, /hunter2|secret|\bat /)
})

t.test('headers of a body that failed before its first byte are removed', async (t) => {
  const app = Fastify()
  await app.register(errorResponses)
  app.get('/', (_request, reply) => {
    const failing = new Readable({ read: () => failing.destroy(retryLater('overloaded', 'Try again.', 1)) })
    return reply.headers({ 'content-encoding': 'br', 'content-length': 7, etag: 'W/"state"' }).send(failing)
  })
  const { statusCode, headers, body } = await app.inject('/')
  t.equal(statusCode, 503)
  t.match(JSON.parse(body), { code: 'overloaded' })
  t.equal(headers['content-length'], String(body.length))
  t.notOk('content-encoding' in headers || 'etag' in headers)
})

t.test('nothing from PostgreSQL’s message reaches the client', async (t) => {
  const answers: [sqlState: string, status: number, code: string][] = [
    ['23505', 500, 'internal_error'],
    ['42P01', 500, 'internal_error'],
    ['22021', 400, 'invalid_request'],
    ['22P05', 400, 'invalid_request'],
    ['22003', 400, 'invalid_request'],
    ['23514', 400, 'invalid_request'],
    ['54000', 422, 'user_too_large'],
    ['54001', 400, 'invalid_request'],
    ['40001', 503, 'overloaded'],
    ['40P01', 503, 'overloaded'],
    ['55P03', 503, 'overloaded'],
    ['57014', 503, 'overloaded'],
    ['08006', 503, 'database_unavailable'],
    ['53300', 503, 'database_unavailable'],
    ['57P01', 503, 'database_unavailable'],
    ['25006', 503, 'read_only'],
  ]
  for (const [sqlState, status, code] of answers) {
    const cause = postgresError(sqlState)
    for (const error of [cause, new Error('while saving', { cause })]) {
      const response = await answerTo(error)
      t.match(response.json(), { status, code }, `${sqlState} in ${error.name}`)
      t.equal(response.headers['retry-after'] !== undefined, status === 503, 'Retry-After only if waiting helps')
      t.notMatch(response.body, /alice|users_email|pool_id|insert|duplicate|saving/, `${sqlState} in ${error.name}`)
    }
  }
})

t.test('an unreachable database is a 503, whatever the error code', async (t) => {
  const noTls = createServer((socket) =>
    socket.once('data', () => socket.write('S', () => socket.end('this is no TLS handshake'))),
  ).listen(0, '127.0.0.1')
  t.teardown(() => noTls.close())
  await once(noTls, 'listening')
  const { port } = noTls.address() as AddressInfo
  const databases = ['127.0.0.1:1/x', 'nobody.invalid/x', '255.255.255.255/x', `127.0.0.1:${port}/x?sslmode=require`]
  for (const database of databases) {
    const sql = connectDatabase({
      url: `postgres://${database}`,
      schema: 'x',
      connections: 1,
      name: 'test',
      waitMs: 500,
    })
    const error: unknown = await sql`select`.catch((error) => error)
    for (const it of [error, new Error('while saving', { cause: error })]) {
      const response = await answerTo(it as Error)
      t.match(response.json(), { status: 503, code: 'database_unavailable' }, `${database} ${error}`)
      t.notMatch(response.body, /127\.0|invalid/)
    }
    await sql.end({ timeout: 0 })
  }
})

t.test('a failed connection to another server is not reported as the database', async (t) => {
  for (const code of ['EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT']) {
    const response = await answerTo(Object.assign(new Error('connect'), { code }))
    t.match(response.json(), { status: 500, code: 'internal_error' }, code)
  }
})

t.test('input errors are reported with their path', async (t) => {
  const app = Fastify()
  await app.register(errorResponses)
  await app.register(compilers)
  await app.register(validation)
  const body = Type.Object(
    {
      count: Type.Integer({ minimum: 1 }),
      config: Type.Optional(
        Type.Object({ roles: Type.Array(Type.Enum(['user', 'guest'])) }, { additionalProperties: false }),
      ),
    },
    { additionalProperties: false },
  )
  const querystring = Type.Object(
    { limit: Type.Optional(Type.Integer({ maximum: 10 })) },
    { additionalProperties: false },
  )
  app.post('/', { schema: { body, querystring } }, () => 'accepted')
  const send = (payload: object, url = '/') => app.inject({ method: 'POST', url, payload })

  const table: [payload: object, url: string, path: string, code: string][] = [
    [{}, '/', 'body.count', 'missing_member'],
    [{ count: '5' }, '/', 'body.count', 'type'],
    [{ count: true }, '/', 'body.count', 'type'],
    [{ count: 0 }, '/', 'body.count', 'minimum'],
    [{ count: 1, cuont: 2 }, '/', 'body.cuont', 'unknown_member'],
    [{ count: 1, config: { roles: ['user', 'root'] } }, '/', 'body.config.roles.1', 'enum'],
    [{ count: 1, config: { roles: [], x: 1 } }, '/', 'body.config.x', 'unknown_member'],
    [{ count: 1 }, '/?limit=11', 'querystring.limit', 'maximum'],
    [{ count: 1 }, '/?limti=1', 'querystring.limti', 'unknown_member'],
  ]
  for (const [payload, url, path, code] of table) {
    const problem = (await send(payload, url)).json()
    t.match(problem, { status: 400, code: 'invalid_request', errors: [{ path, code }] }, JSON.stringify(payload))
    t.ok(problem.detail.includes(path), problem.detail)
  }
  t.equal((await send({ count: 1 }, '/?limit=10')).body, 'accepted', 'query parameters are converted to numbers')
})

t.test('each kind of unreadable body has its own error code', async (t) => {
  const app = Fastify({ bodyLimit: 100 })
  await app.register(errorResponses)
  await app.register(validation)
  app.post('/', () => 'accepted')
  const send = (payload: string, type: string) =>
    app.inject({ method: 'POST', url: '/', payload, headers: { 'content-type': type } })
  for (const text of ['{', '{"a":1,}', 'nul']) {
    t.match((await send(text, 'application/json')).json(), { status: 400, code: 'invalid_json' }, text)
  }
  for (const type of ['text/plain', 'application/xml', 'x']) {
    t.match((await send('{}', type)).json(), { status: 415, code: 'media_type_unsupported' }, type)
  }
  t.match((await send(`"${'x'.repeat(100)}"`, 'application/json')).json(), { status: 413, code: 'body_too_large' })
  t.match((await app.inject('/nothing')).json(), { status: 404, code: 'route_not_found' })
})

t.test('errors of the HTTP parser are sent as problems', (t) => {
  const expected: [string | undefined, number][] = [
    ['HPE_HEADER_OVERFLOW', 431],
    ['ERR_HTTP_REQUEST_TIMEOUT', 408],
    ['HPE_INVALID_METHOD', 400],
    [undefined, 400],
  ]
  for (const [errorCode, status] of expected) {
    const [head = '', body = ''] = clientErrorResponse(errorCode, false).split('\r\n\r\n')
    t.match(head, new RegExp(`^HTTP/1.1 ${status} \\w`))
    t.match(head, `content-length: ${Buffer.byteLength(body)}`)
    t.match(JSON.parse(body), { status, type: /^urn:usersync:problem:/, code: String, title: String, detail: String })
    t.equal(clientErrorResponse(errorCode, true), `${head}\r\n\r\n`, 'to HEAD without the body')
  }
  t.end()
})

t.test('a parser error is never written into, or after, the previous response', async (t) => {
  const app = Fastify({ clientErrorHandler: answerClientError })
  app.get('/whole', (_request, reply) => reply.send('whole'))
  app.get('/begun', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-length': 1_000 }).write('begun')
  })
  app.get('/slow', () => new Promise(() => {}))
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  /**
   * Sends two requests, of which the second is malformed: in one piece, or the second once the first response has
   * started.
   */
  async function say(path: string, inOnePiece = true) {
    const socket = connect(port, '127.0.0.1')
    const request = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
    const malformed = 'none\r\n\r\n'
    socket.write(inOnePiece ? request + malformed : request)
    if (!inOnePiece) {
      await once(socket, 'readable')
      socket.write(malformed)
    }
    return text(socket)
  }
  t.match(await say('/whole'), /^HTTP\/1\.1 200 [\s\S]+\r\n\r\nwhole$/, 'a complete response is sent')
  t.match(await say('/begun', false), /^HTTP\/1\.1 200 [\s\S]+\r\n\r\nbegun$/, 'a started response is cut')
  t.match(
    await say('/slow'),
    /^HTTP\/1\.1 400 [\s\S]+"invalid_request"}$/,
    'a response that has not started is replaced',
  )
})
