import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { as, secretOf, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { exchange, type RawAnswer } from './raw-exchange.ts'

const t = suite()

/* Malformed HTTP. Each request gets the correct response, or one 4xx and a closed connection. */

const service = await sharedService(t, WITH_KEYS)
const { call, url } = service
const port = Number(new URL(url).port)
const say = (...pieces: (string | Buffer)[]) => exchange(port, pieces)

const KEY = as('root').authorization
const ADMIN = `host: x\r\nauthorization: ${KEY}\r\n`
const JSON_BODY = '{"name":"made"}'
/** This would be a second request if its bytes were not part of the first. */
const SMUGGLED = 'GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n'

const isProblem = ({ headers, body }: RawAnswer) =>
  /^application\/problem\+json/.test(headers['content-type'] ?? '') && JSON.parse(body).code !== undefined
/** No log line must mention the request hidden in another. */
const sawSmuggled = () => service.log.filter((line) => line.includes('smuggled') || /"status":5\d\d/.test(line))

t.test('the end of a body is never ambiguous', async (t) => {
  const post = (head: string, body: string) =>
    `POST /v1/pools HTTP/1.1\r\n${ADMIN}content-type: application/json\r\n${head}\r\n${body}`
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const table: Record<string, string> = {
    'CL.TE': post(`content-length: 4\r\ntransfer-encoding: chunked\r\n`, `0\r\n\r\n${SMUGGLED}`),
    'TE.CL': post(`transfer-encoding: chunked\r\ncontent-length: 4\r\n`, `${chunk(SMUGGLED)}0\r\n\r\n`),
    'TE.TE': post('transfer-encoding: chunked\r\ntransfer-encoding: x\r\n', `0\r\n\r\n${SMUGGLED}`),
    'TE.TE, reversed': post('transfer-encoding: x\r\ntransfer-encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'identity, chunked': post('transfer-encoding: identity, chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'chunked, identity': post('transfer-encoding: chunked, identity\r\n', `0\r\n\r\n${SMUGGLED}`),
    'chunked twice': post('transfer-encoding: chunked, chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    xchunked: post('transfer-encoding: xchunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'a vertical tab': post('transfer-encoding: \x0bchunked\r\n', `0\r\n\r\n${SMUGGLED}`),
    'two lengths': post(`content-length: 0\r\ncontent-length: ${SMUGGLED.length}\r\n`, SMUGGLED),
    'a list of lengths': post(`content-length: 0, ${SMUGGLED.length}\r\n`, SMUGGLED),
    'a negative length': post('content-length: -1\r\n', SMUGGLED),
    'a signed length': post('content-length: +0\r\n', SMUGGLED),
    'a hexadecimal length': post('content-length: 0x0\r\n', SMUGGLED),
    'a huge length': post('content-length: 99999999999999999999999\r\n', SMUGGLED),
    'a length with a space': post('content-length : 0\r\n', SMUGGLED),
    'no chunk size': post('transfer-encoding: chunked\r\n', `\r\n${SMUGGLED}`),
    'a wrong chunk size': post('transfer-encoding: chunked\r\n', `zz\r\n${SMUGGLED}`),
    'a negative chunk size': post('transfer-encoding: chunked\r\n', `-1\r\n${SMUGGLED}`),
    'a huge chunk size': post('transfer-encoding: chunked\r\n', `fffffffffffffffff\r\n${SMUGGLED}`),
    'a chunk longer than its size': post('transfer-encoding: chunked\r\n', `1\r\nab\r\n0\r\n\r\n${SMUGGLED}`),
    'a chunk that ends with LF': post('transfer-encoding: chunked\r\n', `1\n{\n0\n\n${SMUGGLED}`),
    'an extension with LF': post('transfer-encoding: chunked\r\n', `0;a\nb\r\n\r\n${SMUGGLED}`),
    'a long extension': post('transfer-encoding: chunked\r\n', `1;${'x'.repeat(20_000)}\r\n`),
    'a trailer without end': post('transfer-encoding: chunked\r\n', `0\r\n${'x: y\r\n'.repeat(5_000)}`),
  }
  for (const [what, sent] of Object.entries(table)) {
    const { answers, rest, closed } = await say(sent)
    t.strictSame([answers.length, rest, closed], [1, '', true], `${what}: one response, and closed`)
    t.match(answers[0], { status: /^4(00|13|31)$/, headers: { connection: 'close' } }, what)
    t.ok(answers[0] && isProblem(answers[0]), `${what} is a problem`)
  }
  const right = await say(
    post('connection: close\r\ntransfer-encoding: chunked\r\n', `f;a=b;c="d"\r\n${JSON_BODY}\r\n0\r\nx: y\r\n\r\n`),
  )
  t.match(right.answers, [{ status: 201 }], 'extensions and trailers are ignored')
  t.strictSame(sawSmuggled(), [])
})

t.test('a malformed head gets one 4xx and a closed connection', async (t) => {
  const table: Record<string, string> = {
    'a folded line': 'GET /livez HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n',
    'bare LF': 'GET /livez HTTP/1.1\nhost: x\n\n',
    'bare CR': 'GET /livez HTTP/1.1\rhost: x\r\r',
    'CR in a value': 'GET /livez HTTP/1.1\r\nhost: x\r\nx: a\rb: c\r\n\r\n',
    'a space before the colon': 'GET /livez HTTP/1.1\r\nhost: x\r\nx : a\r\n\r\n',
    'a space before the first header': 'GET /livez HTTP/1.1\r\n host: x\r\n\r\n',
    'NUL in a value': 'GET /livez HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n',
    'NUL in a name': 'GET /livez HTTP/1.1\r\nhost: x\r\nx\0: a\r\n\r\n',
    'NUL in the target': 'GET /livez\0 HTTP/1.1\r\nhost: x\r\n\r\n',
    'a header without a name': 'GET /livez HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n',
    'no colon': 'GET /livez HTTP/1.1\r\nhost: x\r\nwhat\r\n\r\n',
    'no host': 'GET /livez HTTP/1.1\r\n\r\n',
    'two hosts': 'GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n',
    'two hosts in HTTP/1.0': 'GET /livez HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n',
    'HTTP/0.9': 'GET /livez\r\n\r\n',
    'HTTP/0.9 with a host': 'GET /livez\r\nhost: x\r\n\r\n',
    'HTTP/1.2': 'GET /livez HTTP/1.2\r\nhost: x\r\n\r\n',
    'HTTP/9.9': 'GET /livez HTTP/9.9\r\nhost: x\r\n\r\n',
    'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a method in lower case': 'get /livez HTTP/1.1\r\nhost: x\r\n\r\n',
    'an unknown method': 'WHAT /livez HTTP/1.1\r\nhost: x\r\n\r\n',
    TLS: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'a space in the target': 'GET /li vez HTTP/1.1\r\nhost: x\r\n\r\n',
    'headers without end': `GET /livez HTTP/1.1\r\nhost: x\r\n${'x: y\r\n'.repeat(20_000)}`,
    'a target without end': `GET /${'x'.repeat(100_000)}`,
  }
  for (const [what, sent] of Object.entries(table)) {
    const { answers, rest, closed } = await say(sent)
    t.strictSame([answers.length, rest, closed], [1, '', true], `${what}: one response, and closed`)
    t.match(answers[0]?.status, /^4(00|31)$/, what)
    t.ok(answers[0] && isProblem(answers[0]), `${what} is a problem`)
  }
})

t.test('a rejected HEAD gets a response without a body', async (t) => {
  for (const target of [`/${'x'.repeat(20_000)}`, '/li vez']) {
    const { answers } = await say(`HEAD ${target} HTTP/1.1\r\nhost: x\r\n\r\n`)
    t.match(answers[0]?.status, /^4(00|31)$/)
    t.equal(answers[0]?.body, '')
  }
})

t.test('every form of request target leads to its route or to an error', async (t) => {
  const table: [target: string, status: number][] = [
    ['/livez', 200],
    // Servers must accept the absolute form (RFC 9112 section 3.2.2); its host does not matter here.
    ['http://x/livez', 200],
    ['http://evil.example/v1/nothing', 404],
    ['*', 404],
    ['x:443', 400],
    ['//livez', 404],
    ['//evil.example/livez', 404],
    ['/livez/', 404],
    ['/livez;a=b', 404],
    ['/livez/.', 404],
    ['/./livez', 404],
    ['/v1/../livez', 404],
    ['/v1/..%2flivez', 404],
    ['/%6civez', 200],
    ['/livez%00', 404],
    ['/livez%2f', 404],
    ['/v1%2fpools', 404],
    ['/V1/pools', 404],
    ['/livez#x', 200],
    ['/livez?a#b', 200],
    ['/livez??', 200],
    ['/v1/pools/..', 400],
    ['/v1/pools/%2e%2e', 400],
    ['/v1/pools/a%2fb', 400],
    ['/v1/pools/%', 400],
    ['/v1/pools/%ff', 400],
    ['/v1/pools/%c0%af', 400],
    [`/v1/pools/${'x'.repeat(10_000)}`, 404],
    ['/docs/../livez', 404],
    ['/docs/static/..%2f..%2fpackage.json', 404],
    ['/docs/static/%2e%2e/%2e%2e/package.json', 400],
    ['/docs/static/....//package.json', 400],
    ['/docs/static/%00', 400],
  ]
  for (const [target, status] of table) {
    const { answers, rest } = await say(`GET ${target} HTTP/1.1\r\n${ADMIN}connection: close\r\n\r\n`)
    t.strictSame([answers.map((answer) => answer.status), rest], [[status], ''], target.slice(0, 60))
    if (status !== 200) t.ok(answers[0] && isProblem(answers[0]), `${target.slice(0, 60)} is a problem`)
  }
  const tunnel = await say('CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n')
  t.ok(tunnel.closed && tunnel.answers.every(({ status }) => status >= 400), 'no tunnel is opened')
  t.match((await say('GET /livez HTTP/1.0\r\n\r\n')).answers, [{ status: 200 }], 'HTTP/1.0 needs no Host')
  const upgrade = await say(`GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n`)
  t.match(upgrade.answers, [{ status: 200 }], 'the protocol is not upgraded')
})

t.test('duplicate headers give no access', async (t) => {
  const get = (path: string, headers: string) =>
    say(`GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}connection: close\r\n\r\n`)
  const right = `authorization: ${KEY}\r\n`
  const wrong = 'authorization: Bearer wrong\r\n'
  t.match((await get('/v1/pools', wrong + right)).answers, [{ status: 401 }], 'the first key is used')
  t.match((await get('/v1/pools', right + wrong)).answers, [{ status: 200 }])
  t.match((await get('/v1/pools', `authorization: Bearer wrong, ${KEY}\r\n`)).answers, [{ status: 401 }])

  const post = (headers: string, body = JSON_BODY) =>
    say(
      `POST /v1/pools HTTP/1.1\r\n${ADMIN}connection: close\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`,
    )
  const [json, text] = ['content-type: application/json\r\n', 'content-type: text/csv\r\n']
  t.match((await post(text + json)).answers, [{ status: 415 }], 'the first content type is used')
  t.match((await post(json + text, '{')).answers, [{ status: 400 }])
  const coded = await post(`${json}content-encoding: gzip\r\ncontent-encoding: br\r\n`)
  t.match(coded.answers, [{ status: 415 }], 'several content encodings are rejected')

  const { json: present } = await call<{ state: string }>('GET', '/v1/states/current', {
    headers: as('root'),
  })
  const tags = `if-none-match: "x"\r\nif-none-match: W/"${present.state}"\r\n`
  t.match(
    (await get('/v1/users/export', right + tags)).answers,
    [{ status: 304 }],
    'several If-None-Match lines are one list',
  )
})

/** A request after which the connection is closed. */
const LAST = 'GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

t.test('100 pipelined requests are answered in order', async (t) => {
  const paths = Array.from({ length: 100 }, (_, n) =>
    n % 3 === 0 ? '/livez' : n % 3 === 1 ? '/v1/nothing' : '/v1/pools',
  )
  const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\n${ADMIN}\r\n`)
  const { answers, rest } = await say([...requests, LAST].join(''))
  t.equal(rest, '')
  t.strictSame(
    answers.map(({ status }) => status),
    [...paths.map((path) => (path === '/v1/nothing' ? 404 : 200)), 200],
  )
  const post = `POST /v1/pools HTTP/1.1\r\n${ADMIN}content-type: application/json\r\ncontent-length: 2\r\n\r\n{}`
  const mixed = await say(`${post}GET /livez HTTP/1.1\r\nhost: x\r\n\r\n${post}${LAST}`)
  t.match(mixed.answers, [{ status: 400 }, { status: 200 }, { status: 400 }, { status: 200 }], 'also after bodies')
})

t.test('a client that disconnects during a body causes no error in the service', async (t) => {
  const before = service.log.length
  const socket = connect(port, '127.0.0.1')
  socket.write(`POST /v1/pools HTTP/1.1\r\n${ADMIN}content-type: application/json\r\ncontent-length: 9\r\n\r\n{"na`)
  await sleep(100)
  socket.destroy()
  const lines = () => service.log.slice(before).map((line) => JSON.parse(line))
  for (let i = 0; i < 100 && !lines().some(({ msg }) => msg === 'change'); i++) await sleep(50)
  t.match(
    lines().find(({ msg }) => msg === 'change'),
    { audit: { status: 400, code: 'invalid_request' } },
  )
  t.notOk(lines().some(({ level }) => level >= 50))
})

t.test('after all of this the service works', async (t) => {
  t.match(await call('GET', '/readyz'), { status: 200 })
  t.strictSame(sawSmuggled(), [])
  t.notOk(service.log.some((line) => line.includes(secretOf('root'))))
})
