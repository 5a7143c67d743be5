import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { connect } from '../../src/database/connection.ts'
import { suite } from '../suite.ts'

const t = suite()

/* A server that is not ours listens on the port of ours. It must not get the password. */

const PASSWORD = 'the-password-itself'
const SSL_REQUEST = 80_877_103

/** An authentication message: its type and its body. */
function request(type: number, rest: Buffer | string = ''): Buffer {
  const body = Buffer.from(rest)
  const head = Buffer.from('R\0\0\0\0\0\0\0\0')
  head.writeUInt32BE(8 + body.length, 1)
  head.writeUInt32BE(type, 5)
  return Buffer.concat([head, body])
}

/** A server that sends one of `messages` for each message it receives, and records what it receives after the first. */
async function startFake(t: Test, path: string | undefined, ...messages: Buffer[]) {
  const received: Buffer[] = []
  const server = createServer((socket: Socket) => {
    const left = [...messages]
    socket.on('error', () => {})
    socket.on('data', (data) => {
      if (data.length === 8 && data.readUInt32BE(4) === SSL_REQUEST) return void socket.write('N')
      if (left.length < messages.length) received.push(data)
      socket.write(left.shift() ?? '')
    })
  })
  await new Promise<void>((resolve) => {
    if (path) server.listen(path, resolve)
    else server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => void server.close())
  return { port: (server.address() as AddressInfo).port, received: () => Buffer.concat(received).toString('latin1') }
}

/** Returns the error of a query, or `answered`. No answer within `waitMs` is an error too. */
async function ask(t: Test, url: string, waitMs = 10_000): Promise<unknown> {
  const sql = connect({ url, schema: 'usersync', connections: 1, name: 'test', waitMs })
  t.teardown(() => sql.end({ timeout: 0 }))
  return await sql`select 1`.then(
    () => 'answered',
    (error: unknown) => error,
  )
}

const refused = (message: RegExp) => ({ code: 'CONNECTION_AUTHENTICATION_REFUSED', message })

t.test('a server that requests the password in clear text or as an MD5 digest does not get it', async (t) => {
  for (const [type, rest, what] of [
    [3, '', /requests the password in clear, which is not sent: require TLS/],
    [5, 'salt', /requests an MD5 digest of the password/],
  ] as const) {
    const server = await startFake(t, undefined, request(type, rest))
    t.match(await ask(t, `postgres://u:${PASSWORD}@127.0.0.1:${server.port}/db`), refused(what))
    t.equal(server.received(), '', `type ${type}`)
  }
})

t.test('the password is sent over a Unix socket', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-socket-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const server = await startFake(t, join(folder, '.s.PGSQL.5432'), request(3))
  await ask(t, `postgres://u:${PASSWORD}@/db?host=${folder}`, 500) // the server never answers it
  t.match(server.received(), PASSWORD)
})

t.test('with require_auth, a server that does not prove that it knows the password is rejected', async (t) => {
  const challenge = (iterations: number) =>
    request(11, `r=x,s=${Buffer.from('salt').toString('base64')},i=${iterations}`)
  const sasl = request(10, 'SCRAM-SHA-256\0\0')
  for (const messages of [[request(0)], [sasl, challenge(4096), request(0)]]) {
    const server = await startFake(t, undefined, ...messages)
    const url = `postgres://u:${PASSWORD}@127.0.0.1:${server.port}/db?require_auth=scram-sha-256`
    t.match(await ask(t, url), refused(/did not prove that it knows the password/))
  }
})

t.test('a SCRAM challenge with too many or invalid iterations ends the connection, not the process', async (t) => {
  for (const iterations of ['2147483647', 'x', '0']) {
    const server = await startFake(
      t,
      undefined,
      request(10, 'SCRAM-SHA-256\0\0'),
      request(11, `r=x,s=c2FsdA==,i=${iterations}`),
    )
    t.match(await ask(t, `postgres://u:${PASSWORD}@127.0.0.1:${server.port}/db`), refused(/an invalid SCRAM challenge/))
  }
})
