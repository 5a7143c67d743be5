import { connect } from 'node:net'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { scrape } from './scrape.ts'

const t = suite()

/* The counted bytes are exactly those that a client receives. */

const service = await sharedService(t)
const { call, url } = service
const config = { password_hash: { algorithm: 'none' } }
await call('POST', '/v1/batches', { body: { count: 3_000, config }, headers: { prefer: 'wait=30' } })
const few = await call<{ id: string }>('POST', '/v1/batches', {
  body: { count: 60, config },
  headers: { prefer: 'wait=30' },
})

/** Sends pipelined GETs over one connection. Returns the number of bytes received. */
async function received(paths: string[], coding: string): Promise<number> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  paths.forEach((path, index) => {
    const close = index === paths.length - 1 ? 'Connection: close\r\n' : ''
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: ${coding}\r\n${close}\r\n`)
  })
  socket.resume()
  await new Promise((resolve, reject) => void socket.once('error', reject).once('close', resolve))
  return socket.bytesRead
}

const counted = async (coding: string) =>
  (await scrape(service)).value(`usersync_response_bytes_total{coding="${coding}"}`)
const saved = async (coding: string) =>
  (await scrape(service)).value(`usersync_response_saved_bytes_total{coding="${coding}"}`)

const cached = '/v1/users/export?format=ndjson'
const small = `/v1/users/export?format=ndjson&batch_id=${few.json.id}`

for (const coding of ['zstd', 'br', 'gzip', 'deflate']) {
  t.test(`${coding}: bytes are counted for one response and for several on a connection`, async (t) => {
    for (const paths of [[cached], [small, small], [small, cached, small]]) {
      const before = await counted(coding)
      const bytes = await received(paths, coding)
      t.equal((await counted(coding)) - before, bytes, `${paths.length}: ${bytes}`)
    }
    const plain = (await call('GET', small)).raw.length
    const before = await saved(coding)
    const bytes = await received([small], coding)
    t.equal((await saved(coding)) - before, plain - bytes, 'the saved bytes are relative to the uncompressed body')
  })
}

t.test('bytes of uncompressed responses are counted', async (t) => {
  const before = await counted('identity')
  const one = (await counted('identity')) - before // the first of these two scrapes
  const start = await counted('identity')
  const bytes = await received([small, '/livez', cached], 'identity')
  const scrapes = (await counted('identity')) - start - bytes
  t.ok(Math.abs(scrapes - one) < 200, `${scrapes} and ${one}: scrapes differ by some digits`)
})
