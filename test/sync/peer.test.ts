import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { createServer as createTlsServer } from 'node:tls'
import type { Test } from 'tap'
import { asPeerError, callPeer, PeerError, readJson } from '../../src/client/peer.ts'
import { isDatabaseUnavailable } from '../../src/database/sqlstate.ts'
import { EMPTY_STATE } from '../../src/protocol/state.ts'
import { heldState } from '../../src/sync/probe.ts'
import { suite } from '../suite.ts'

const t = suite()

t.jobs = 16 // the tests wait most of the time, each for a server of its own

/** A self-signed certificate for 127.0.0.1, used only in this test. */
const SELF_SIGNED = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsugsUA26FEMMQrDC
+IFoRAlnP296gvLLp4I7pjV9OfahRANCAASm2lA3g/dwy53k47TAvhievukDwWdB
W0GDGMKsH3TwAmI7OyZRJSNiyqNp0VgyaVwWxclY6jWISOypuA2KmaZb
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUcvxbWXQueVnGVqnKnEWmDh1SJcswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyOTAzNTU1N1oYDzIxMjYxMTA1
MDM1NTU3WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASm2lA3g/dwy53k47TAvhievukDwWdBW0GDGMKsH3TwAmI7OyZRJSNi
yqNp0VgyaVwWxclY6jWISOypuA2KmaZbo1MwUTAdBgNVHQ4EFgQUyPpmgHlTGTn6
FJ9e7kGTKtPuhQwwHwYDVR0jBBgwFoAUyPpmgHlTGTn6FJ9e7kGTKtPuhQwwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAhrA1lHDwVeYjNfELSts4
NxyWLvh8Tk/9OIXO5mOrqgYCIAMm+zUbRkZmI50YBrk3LUMvlXuScXqEPYHw1v/b
UqWK
-----END CERTIFICATE-----
`,
}

const never = new AbortController().signal

async function listening(t: Test, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function answering(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  t.teardown(() => server.closeAllConnections())
  return await listening(t, server)
}

const ask = (url: string, silenceMs = 2_000, signal = never) =>
  callPeer({ url, key: 'secret' }, { method: 'GET', path: '/v1/x', silenceMs, signal })

async function faultOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'none'
  } catch (error) {
    if (error instanceof PeerError) return error.fault
    throw error
  }
}

t.test('the request has the key, and the response body is returned', async (t) => {
  const url = await answering(t, (request, response) => void response.end(request.headers.authorization))
  t.equal(await text((await ask(`${url}/`)).body), 'Bearer secret')
})

const refusing = (t: Test, status: number, problem: object, headers = {}) =>
  answering(t, (_, response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers })
    response.end(JSON.stringify(problem))
  })

t.test('each kind of rejection has its own fault', async (t) => {
  const faults = {
    302: 'not_understood',
    400: 'refused',
    401: 'unauthorized',
    403: 'unauthorized',
    404: 'refused',
    409: 'refused',
    429: 'busy',
    500: 'server_error',
    503: 'busy',
  }
  const url = await answering(t, (request, response) => {
    response.writeHead(Number(request.headers['x-status'] ?? 500), { location: '/elsewhere' }).end('gone wrong')
  })
  for (const [status, fault] of Object.entries(faults)) {
    const call = { method: 'PUT', path: '/', headers: { 'x-status': status }, silenceMs: 2_000, signal: never } as const
    t.equal(await faultOf(callPeer({ url, key: undefined }, call)), fault, status)
  }
})

t.test('a problem is reported with its code and detail, and its Retry-After is used', async (t) => {
  const problem = { code: 'base_mismatch', detail: 'As much as it takes.', state: EMPTY_STATE }
  const url = await refusing(t, 503, problem, { 'retry-after': '7' })
  const { code, state } = problem
  await t.rejects(ask(url), {
    fault: 'busy',
    retryAfterMs: 7_000,
    problem: { code, state },
    message: /503: base_mismatch: As much/,
  })
})

t.test('messages of a peer are printable, well-formed and bounded', async (t) => {
  const details = [
    'a\0b',
    '\ud800',
    '\u001b]0;x\u0007\u001b[2J\nforged',
    '\u009b2J',
    '\u202egnp',
    'x'.repeat(60_000),
    ['a'],
    7,
    {},
  ]
  for (const detail of details) {
    const url = await refusing(t, 400, { code: 'x\0', detail, state: 'u1-\u001b[2J' })
    const error: unknown = await ask(url).catch((error) => error)
    if (!(error instanceof PeerError)) throw error
    t.equal(error.fault, 'refused')
    t.match(error.message, /^The peer answers 400/)
    t.ok(error.message.isWellFormed() && error.message.length <= 500)
    t.notMatch(error.message, /[\p{Cc}\p{Cf}]/u)
    t.strictSame(error.problem, { code: undefined, state: undefined, link: undefined })
  }
})

t.test('a rejection keeps its status, whatever its body is', async (t) => {
  const headers = { 'content-type': 'application/problem+json' }
  for (const body of ['', '[', 'null', '"text"', '[1]']) {
    const url = await answering(t, (_, response) => void response.writeHead(503, headers).end(body))
    t.equal(await faultOf(ask(url)), 'busy', body)
  }
})

t.test('silence before or during the response is a timeout', async (t) => {
  const silent = await answering(t, () => {})
  const before = faultOf(ask(silent, 300)) // undici's timers take up to a second longer
  const stalled = await answering(t, (_, response) => void response.write('a'))
  const { body } = await ask(stalled, 300)
  t.equal(await faultOf(readJson(body)), 'timeout')
  t.equal(await before, 'timeout')
})

t.test('a probe ends when its time is up, also if the receiver goes on sending', async (t) => {
  const url = await answering(t, (_, response) => {
    const sending = setInterval(() => response.write(' '.repeat(1_000)), 50) // 65 of them would be too long for a response
    response.once('close', () => clearInterval(sending))
  })
  const probe = heldState(
    { url, key: undefined, pool: 'default' },
    { state: EMPTY_STATE, userCount: 0 },
    { patienceMs: 300 },
  )
  t.equal(await faultOf(probe), 'timeout')
})

t.test(
  'a refused or broken connection is unreachable, and a response that is not HTTP is not_understood',
  async (t) => {
    const server = createSocketServer()
    const url = await listening(t, server)
    await new Promise((resolve) => server.close(resolve))
    t.equal(await faultOf(ask(url)), 'unreachable')
    const cut = await listening(
      t,
      createSocketServer((socket) => socket.once('data', () => socket.destroy())),
    )
    t.equal(await faultOf(ask(cut)), 'unreachable')
    const strange = await listening(
      t,
      createSocketServer((socket) => socket.end('220 mail ready\r\n')),
    )
    t.equal(await faultOf(ask(strange)), 'not_understood')
    const page = await answering(t, (_, response) => void response.end('<html>'))
    t.equal(await faultOf(ask(page).then(({ body }) => readJson(body))), 'not_understood')
  },
)

t.test('every failure before a response is unreachable, with its error code', async (t) => {
  const http = await answering(t, (_, response) => void response.end())
  const https = await listening(
    t,
    createTlsServer(SELF_SIGNED, () => {}),
  )
  const rejections: Record<string, [url: string, message: RegExp]> = {
    'https on an http port': [http.replace('http:', 'https:'), /\(ERR_SSL_\w+\).*http instead of https/],
    'a certificate that is not trusted': [
      https.replace('http:', 'https:'),
      /\(DEPTH_ZERO_SELF_SIGNED_CERT\).*NODE_EXTRA_CA_CERTS/,
    ],
    'an unknown host name': ['http://nobody.invalid', /\((ENOTFOUND|EAI_AGAIN)\)/],
  }
  for (const [what, [url, message]] of Object.entries(rejections)) {
    await t.rejects(ask(url, 4_000), { name: 'PeerError', fault: 'unreachable', isRetryable: true, message }, what)
  }
  for (const code of [
    'EAI_AGAIN',
    'ENETUNREACH',
    'EHOSTUNREACH',
    'EMFILE',
    'CERT_HAS_EXPIRED',
    'ERR_TLS_X',
    'UND_ERR_X',
  ]) {
    const error = Object.assign(new Error('s3cret'), { code })
    for (const it of [error, new Error('failed', { cause: error })]) {
      const { fault, message } = asPeerError(it)
      t.match({ fault, message }, { fault: 'unreachable', message: `(${code})` })
      t.notOk(isDatabaseUnavailable(asPeerError(it)), 'the database is not at fault')
    }
  }
  t.equal(asPeerError(new Error('no code')).fault, 'unreachable')
  t.equal(asPeerError(new DOMException('s3cret', 'TimeoutError')).fault, 'timeout', 'a deadline of this service')
})

t.test('an aborted call rejects with the reason', async (t) => {
  const url = await answering(t, () => {})
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('called off')), 50)
  await t.rejects(ask(url, 5_000, stop.signal), { message: 'called off' })
})

t.test('an unread response body can be destroyed without consequences', async (t) => {
  const url = await answering(t, (_, response) => void response.end('x'))
  const { body } = await ask(url)
  body.destroy() // its error has no listener here: without the one in callPeer the process would exit
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(body.destroyed)
})
