import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { callPeer, PeerError, readJson } from '../../src/sync/peer.ts'

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

async function faultOf(asked: Promise<unknown>): Promise<string> {
  try {
    await asked
    return 'none'
  } catch (error) {
    if (error instanceof PeerError) return error.fault
    throw error
  }
}

t.test('an answer comes as it is, and the key went with the request', async (t) => {
  const url = await answering(t, (request, response) => void response.end(request.headers.authorization))
  t.equal(await text((await ask(`${url}/`)).body), 'Bearer secret')
})

t.test('each kind of refusal is told apart', async (t) => {
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

t.test('a problem is told with its code and detail, and how long to wait', async (t) => {
  const problem = { code: 'overloaded', detail: 'As much as it takes.', state: 'u1-0' }
  const url = await answering(t, (_, response) => {
    response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '7' })
    response.end(JSON.stringify(problem))
  })
  await t.rejects(ask(url), { fault: 'busy', retryAfterMs: 7_000, problem, message: /503: overloaded: As much/ })
})

t.test('silence is a timeout: before the answer, and within it', async (t) => {
  const silent = await answering(t, () => {})
  t.equal(await faultOf(ask(silent, 300)), 'timeout')
  const stalled = await answering(t, (_, response) => void response.write('a'))
  const { body } = await ask(stalled, 300)
  t.equal(await faultOf(readJson(body)), 'timeout')
})

t.test('no listener, a broken connection, and what is no HTTP', async (t) => {
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
})

t.test('a call that is called off ends with the reason', async (t) => {
  const url = await answering(t, () => {})
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('called off')), 50)
  await t.rejects(ask(url, 5_000, stop.signal), { message: 'called off' })
})

t.test('an answer that is not read ends nothing but itself', async (t) => {
  const url = await answering(t, (_, response) => void response.end('x'))
  const { body } = await ask(url)
  body.destroy() // its error has no listener of ours: without the one in callPeer the process would end
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(body.destroyed)
})
