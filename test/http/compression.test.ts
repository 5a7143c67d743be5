import { Readable } from 'node:stream'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import Fastify from 'fastify'
import { compression } from '../../src/http/compression.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { suite } from '../suite.ts'

const t = suite()

const DECODERS: Record<string, (body: Buffer) => Buffer> = {
  zstd: (body) => zstdDecompressSync(body),
  br: (body) => brotliDecompressSync(body),
  gzip: (body) => gunzipSync(body),
  deflate: (body) => inflateSync(body),
  identity: (body) => body,
}

const LINES = Array.from({ length: 200 }, (_, n) => `{"n":${n},"email":"user_${n}@example.com"}\n`)

const app = Fastify()
await app.register(errorResponses)
await app.register(compression, { threshold: 1024 })
app.get<{ Params: { type: string } }>('/lines/:type', (request, reply) =>
  reply.type(decodeURIComponent(request.params.type)).send(LINES.join('')),
)
app.get('/stream', (_request, reply) => reply.type('application/x-ndjson; charset=utf-8').send(Readable.from(LINES)))
app.get<{ Params: { bytes: string } }>('/bytes/:bytes', (request, reply) =>
  reply.type('application/json').send(`"${'é'.repeat((Number(request.params.bytes) - 2) / 2)}"`),
)

const get = async (url: string, acceptEncoding?: string) => {
  const headers = acceptEncoding === undefined ? {} : { 'accept-encoding': acceptEncoding }
  const response = await app.inject({ url, headers })
  const coding = String(response.headers['content-encoding'] ?? 'identity')
  return { response, coding, text: DECODERS[coding]?.(response.rawPayload).toString() }
}

const NDJSON = `/lines/${encodeURIComponent('application/x-ndjson')}`

t.test('Accept-Encoding selects the encoding', async (t) => {
  const table: [acceptEncoding: string | undefined, expected: string | 406][] = [
    [undefined, 'identity'],
    ['', 'identity'],
    ['zstd', 'zstd'],
    ['br', 'br'],
    ['gzip', 'gzip'],
    ['deflate', 'deflate'],
    ['identity', 'identity'],
    ['GZip', 'gzip'],
    ['gzip, deflate, br, zstd', 'zstd'],
    ['gzip, deflate, br', 'br'],
    ['deflate, gzip', 'gzip'],
    ['gzip;q=1, br;q=0.5', 'gzip'],
    ['gzip;q=0.5, br;q=0.501', 'br'],
    [' gzip ; q=0.8 ,br;q=0.9', 'br'],
    ['identity;q=0.5, gzip;q=0.1', 'identity'],
    ['identity, gzip;q=0.5', 'identity'],
    ['*', 'zstd'],
    ['*;q=0.5, gzip', 'gzip'],
    ['zstd;q=0, *', 'br'],
    ['gzip;q=0', 'identity'],
    ['snappy', 'identity'],
    ['snappy, gzip;q=0.1', 'gzip'],
    ['gzip, identity;q=0', 'gzip'],
    ['gzip, *;q=0', 'gzip'],
    ['identity, *;q=0', 'identity'],
    ['identity;q=0, *', 'zstd'],
    ['identity;q=0', 406],
    ['*;q=0', 406],
    ['identity;q=0, *;q=0', 406],
    ['snappy, identity;q=0', 406],
    ['snappy, *;q=0', 406],
    ['gzip;q=0, *;q=0', 406],
  ]
  for (const [acceptEncoding, expected] of table) {
    const { response, coding, text } = await get(NDJSON, acceptEncoding)
    const label = `Accept-Encoding: ${acceptEncoding}`
    t.match(response.headers['vary'], /\baccept-encoding\b/i, `${label}: Vary`)
    if (expected === 406) {
      t.match(response.json(), { status: 406, code: 'not_acceptable' }, label)
    } else {
      t.equal(coding, expected, label)
      t.ok(text === LINES.join(''), `${label}: decodes to the same text`)
    }
  }
})

t.test('whatever the header says, the response decodes or is 406', async () => {
  const part = fc.tuple(
    fc.oneof(fc.constantFrom('gzip', 'br', 'zstd', 'deflate', 'identity', '*'), fc.stringMatching(/^[!-~]{0,6}$/)),
    fc.option(
      fc.stringMatching(/^[ -~]{0,5}$/).map((value) => `;q=${value}`),
      { nil: '' },
    ),
  )
  const header = fc
    .array(
      part.map((words) => words.join('')),
      { maxLength: 4 },
    )
    .map((parts) => parts.join(','))
  await fc.assert(
    fc.asyncProperty(header, async (acceptEncoding) => {
      const { response, text } = await get(NDJSON, acceptEncoding)
      return response.statusCode === 406 || (response.statusCode === 200 && text === LINES.join(''))
    }),
  )
})

t.test('a response below 1,024 bytes is not compressed', async (t) => {
  for (const acceptEncoding of ['zstd', 'br', 'gzip', 'deflate']) {
    const small = await get('/bytes/1022', acceptEncoding)
    t.equal(small.coding, 'identity')
    t.equal(small.response.headers['content-length'], '1022', 'bytes count, not characters')
    t.match(small.response.headers['vary'], /accept-encoding/i)
    t.equal((await get('/bytes/1024', acceptEncoding)).coding, acceptEncoding)
  }
})

t.test('text is compressed, also as a stream; event streams and images are not', async (t) => {
  for (const type of [
    'application/json',
    'application/x-ndjson; charset=utf-8',
    'application/problem+json',
    'text/csv',
  ]) {
    t.equal((await get(`/lines/${encodeURIComponent(type)}`, 'br')).coding, 'br', type)
  }
  for (const type of ['text/event-stream', 'image/png']) {
    t.equal((await get(`/lines/${encodeURIComponent(type)}`, 'br')).coding, 'identity', type)
  }
  for (const acceptEncoding of ['zstd', 'br', 'gzip', 'deflate', 'identity']) {
    const { coding, text } = await get('/stream', acceptEncoding)
    t.equal(coding, acceptEncoding)
    t.ok(text === LINES.join(''))
  }
})

t.test('compression saves at least 80 %', async (t) => {
  for (const acceptEncoding of ['zstd', 'br', 'gzip', 'deflate']) {
    const { response } = await get(NDJSON, acceptEncoding)
    const share = response.rawPayload.length / LINES.join('').length
    t.ok(share < 0.2, `${acceptEncoding} leaves ${Math.round(share * 100)} %`)
  }
})

t.test('a 404 has Vary too', async (t) => {
  const { response } = await get('/nothing', 'gzip')
  t.equal(response.statusCode, 404)
  t.match(response.headers['vary'], /accept-encoding/i)
})
