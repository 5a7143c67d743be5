import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Patience, readBody } from '../../src/http/upload.ts'
import { suite } from '../suite.ts'

const t = suite()

t.jobs = 8 // the tests wait most of the time, each with a server of its own

const PATIENT = { silenceMs: 10_000, totalMs: 10_000, bytesPerSecond: 0 }

/** Reads a request with `readBody`. `send` sends its pieces, and may end it early. */
async function read(
  send: (sender: ReturnType<typeof request>) => Promise<void>,
  patience: Patience = PATIENT,
  each: () => Promise<unknown> = () => Promise.resolve(),
): Promise<string> {
  const arrived = Promise.withResolvers<IncomingMessage>()
  const server = createServer((incoming) => arrived.resolve(incoming))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const sender = request({ port: (server.address() as AddressInfo).port, method: 'POST', host: '127.0.0.1' })
  sender.on('error', () => {}).flushHeaders()
  const sending = send(sender)
  try {
    let text = ''
    for await (const piece of readBody(await arrived.promise, patience, new AbortController().signal)) {
      text += piece
      await each()
    }
    return text
  } finally {
    const { listenerCount } = await arrived.promise
    t.equal(listenerCount.call(await arrived.promise, 'readable'), 0, 'no listener is left')
    sender.destroy()
    server.closeAllConnections()
    server.close()
    await sending
  }
}

const slowly = (pieces: number, pauseMs: number) => async (sender: ReturnType<typeof request>) => {
  for (let i = 0; i < pieces && !sender.destroyed; i++) {
    sender.write(`${i},`)
    await sleep(pauseMs)
  }
  sender.end()
}

t.test('the pieces are read as they are sent', async (t) => {
  t.equal(await read(slowly(5, 20)), '0,1,2,3,4,')
  t.equal(await read(slowly(0, 0)), '')
})

t.test('silence, and a body that takes too long, end the request', async (t) => {
  const code = 'request_timeout'
  await t.rejects(read(slowly(2, 300), { ...PATIENT, silenceMs: 100 }), { code, message: /0\.1 s without a byte/ })
  await t.rejects(read(slowly(50, 20), { ...PATIENT, totalMs: 200 }), { code, message: /0\.2 s to arrive/ })
})

t.test('a client that sends too few bytes per second is cut off', async (t) => {
  const patience = { silenceMs: 1_000, totalMs: 10_000, bytesPerSecond: 1_000 }
  const [slow, fast] = await Promise.allSettled([
    read(slowly(60, 40), patience),
    read(slowly(30, 40), { ...patience, bytesPerSecond: 5 }),
  ])
  t.match(slow, { reason: { code: 'request_timeout', message: /less than 1000 bytes a second/ } })
  t.match(fast, { value: /^0,1,.*,29,$/ }, 'a client that is fast enough is not cut off')
})

t.test('the time that the reader takes is not counted as silence of the client', async (t) => {
  t.equal(await read(slowly(3, 1), { ...PATIENT, silenceMs: 100 }, () => sleep(250)), '0,1,2,')
})

t.test('a client that disconnects is not mistaken for the end of the body', async (t) => {
  const gone = async (sender: ReturnType<typeof request>) => {
    sender.write('half')
    await sleep(50)
    sender.destroy()
  }
  await t.rejects(read(gone), { code: 'import_cut' })
})

t.test('aborting while waiting leaves the request open', async (t) => {
  const arrived = Promise.withResolvers<IncomingMessage>()
  const server = createServer((incoming) => arrived.resolve(incoming)).listen(0, '127.0.0.1')
  await new Promise((resolve) => void server.once('listening', resolve))
  const sender = request({ port: (server.address() as AddressInfo).port, method: 'POST', host: '127.0.0.1' })
  sender.on('error', () => {}).flushHeaders()
  const stop = new AbortController()
  const raw = await arrived.promise
  const waiting = readBody(raw, PATIENT, stop.signal).next()
  stop.abort()
  t.match(await waiting, { done: true })
  t.notOk(raw.destroyed)
  sender.destroy()
  server.close()
})
