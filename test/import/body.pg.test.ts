import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

/* The body over HTTP: media types, encodings, limits, and clients that are slow or disconnect. */

// Compressed before the service starts: it rejects requests while its event loop is behind.
const BOMB = gzipSync(Buffer.alloc(20_000_000))
const LINES = gzipSync(`{"username":"x","custom_attributes":{"filler":"${'x'.repeat(160)}"}}\n`.repeat(20_000))

const { sql, call, url, app } = await startService(t, { MAX_WORKERS: '1', IMPORT_LIMIT_MB: '3', WAIT_SECONDS: '1' })
const PATH = '/v1/users/import'

/** Whether nothing of an import is left: no row, and no open transaction. */
async function nothingLeft(): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    const [row] = await sql<{ kept: number; open: number }[]>`
      select (select count(*)::int from users) + (select count(*)::int from batches) as kept,
        (select count(*)::int from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
          and state like 'idle in transaction%') as open`
    if (row?.kept !== 0) return false
    if (row.open === 0) return true
    await sleep(10)
  }
  return false
}

interface Sent {
  status: number
  json: { code?: string; detail?: string; status?: string; created_count?: number }
  connection: string | undefined
}

/** Sends a body piece by piece until the service responds. Returns the response whenever it arrives. */
async function sendPieces(pieces: Iterable<Buffer>, headers: Record<string, string>, query = ''): Promise<Sent> {
  const sent = request(url + PATH + query, { method: 'POST', headers, agent: false })
  const answered = once(sent, 'response')
  let stop = false
  answered.then(
    () => (stop = true),
    () => (stop = true),
  )
  sent.on('error', () => (stop = true)) // the service may close before the last piece
  for (const piece of pieces) {
    if (stop) break
    if (!sent.write(piece)) await Promise.race([once(sent, 'drain'), answered]).catch(() => {})
  }
  sent.end()
  const [response] = await answered
  return {
    status: response.statusCode,
    json: JSON.parse(await text(response)),
    connection: response.headers.connection,
  }
}

function* repeat(piece: string, times: number) {
  const bytes = Buffer.from(piece)
  for (let i = 0; i < times; i++) yield bytes
}

const NDJSON = { 'content-type': 'application/x-ndjson' }
const CSV = { 'content-type': 'text/csv' }

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

t.test(
  'a body that is too large is rejected while it arrives, the response is received, and memory stays bounded',
  async (t) => {
    const user = (i: number) =>
      `{"username":"u${i}@example.com","custom_attributes":{"filler":"${'x'.repeat(60_000)}"}}\n`
    function* users() {
      for (let i = 0; i < 1000; i++) yield Buffer.from(user(i))
    }
    collectGarbage()
    const before = process.memoryUsage.rss()
    const table: [what: string, send: () => Promise<Sent>, detail: RegExp][] = [
      ['a bomb', () => sendPieces([BOMB], { ...NDJSON, 'content-encoding': 'gzip' }), /A row/],
      ['a line without an end', () => sendPieces(repeat('x'.repeat(65_536), 400), NDJSON), /A row/],
      [
        'an element without an end',
        () => sendPieces(repeat('["xxxxxxx'.repeat(7000), 100), { 'content-type': 'application/json' }),
        /A row/,
      ],
      ['a CSV row of commas', () => sendPieces(repeat(`username${','.repeat(65_536)}`, 400), CSV), /A row/],
      [
        'many lines in a small body',
        () => sendPieces([LINES], { ...NDJSON, 'content-encoding': 'gzip' }, '?on_conflict=skip'),
        / 3 MiB/,
      ],
      ['many users', () => sendPieces(users(), NDJSON), / 3 MiB/],
    ]
    for (const [what, send, detail] of table) {
      t.match(await send(), { status: 413, json: { code: 'body_too_large', detail } }, what)
      t.ok(await nothingLeft(), `${what}: nothing is left`)
    }
    collectGarbage() // otherwise the growth includes garbage, which V8 does not collect on a busy machine
    const grown = (process.memoryUsage.rss() - before) / 1_048_576
    t.ok(grown < 300, `memory grew by ${Math.round(grown)} MiB`)
  },
)

t.test('an early response is received before the connection is closed', async (t) => {
  const refusals: [headers: Record<string, string>, status: number, code: string, query?: string][] = [
    [CSV, 400, 'invalid_request'],
    [{ 'content-type': 'application/json' }, 400, 'invalid_json'],
    [{ 'content-type': 'application/xml' }, 415, 'media_type_unsupported'],
    [{}, 415, 'media_type_unsupported'],
    [{ ...NDJSON, 'content-encoding': 'snappy' }, 415, 'media_type_unsupported'],
    [{ ...NDJSON, 'content-encoding': 'gzip' }, 400, 'invalid_request'],
    [NDJSON, 404, 'pool_not_found', '?pool=nowhere'],
    [NDJSON, 400, 'invalid_request', '?poool=a'],
    [{ ...NDJSON, 'accept-encoding': 'identity;q=0' }, 406, 'not_acceptable'],
    [NDJSON, 422, 'import_invalid'],
  ]
  for (const [headers, status, code, query] of refusals) {
    const answer = await sendPieces(repeat('wrong,header\n'.repeat(1_000), 2_000), headers, query)
    t.match(answer, { status, json: { code }, connection: 'close' }, code)
  }
  t.ok(await nothingLeft())
})

t.test('a client that reads only after it has sent everything receives the response', async (t) => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const body = Buffer.alloc(20_000_000, 'x')
  socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\ncontent-length: ${body.length}\r\n\r\n`,
  )
  await new Promise((resolve) => void socket.write(body, resolve))
  await sleep(200)
  t.match(await text(socket), /^HTTP\/1\.1 413 .*connection: close.*"code":"body_too_large"/s)
})

t.test('a client that keeps sending after the response is disconnected', async (t) => {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/xml\r\ncontent-length: 9000000000\r\n\r\n`,
  )
  const piece = Buffer.alloc(1_048_576, 'x')
  const feed = setInterval(() => socket.write(piece), 2)
  await new Promise((resolve) => void socket.once('close', resolve))
  clearInterval(feed)
  t.ok(socket.bytesWritten < 200_000_000, `${socket.bytesWritten} bytes were accepted`)
})

t.test('a client that disconnects leaves nothing', async (t) => {
  const many = Array.from({ length: 5000 }, (_, i) => `{"username":"u${i}@example.com"}\n`).join('')
  for (const start of ['', '{"username":"a@example.com"}\n', many]) {
    for (const end of ['destroy', 'end'] as const) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write(
        `POST ${PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9000000\r\n\r\n${start}`,
      )
      await sleep(start === many ? 300 : 50)
      socket[end]()
      t.ok(await nothingLeft(), `${start.length} characters, ${end}`)
    }
  }
})

t.test('a body may be split anywhere, chunked, compressed, and of any type if format is set', async (t) => {
  const plain = Buffer.from('\ufeff{"username":"ünï-🐉@example.com"}\r\n{"username":"b@example.com"}')
  const coded = gzipSync(plain)
  const bytes = (from: Buffer) => Array.from(from, (byte) => Buffer.from([byte]))
  const table: [pieces: Buffer[], headers: Record<string, string>, query: string][] = [
    [bytes(plain), NDJSON, ''],
    [bytes(coded), { ...NDJSON, 'content-encoding': 'gzip' }, ''],
    [[plain], { 'content-type': 'application/octet-stream' }, '?format=ndjson'],
    [[plain], { 'content-type': 'Application/X-NDJSON; charset=utf-8', 'content-encoding': 'identity' }, ''],
  ]
  for (const [pieces, headers, query] of table) {
    t.match(
      await sendPieces(pieces, headers, query),
      { status: 201, json: { created_count: 2 } },
      JSON.stringify(headers),
    )
    await sql`delete from users`
    await sql`delete from batches`
  }
})

t.test(
  'format does not replace a content type: a request that a page of another site can send is rejected',
  async (t) => {
    const simple = [
      'text/plain',
      'Text/Plain; charset=utf-8',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ]
    for (const headers of [{}, { 'content-type': '' }, ...simple.map((type) => ({ 'content-type': type }))]) {
      const answer = await call('POST', `${PATH}?format=ndjson`, { body: '{"username":"a@example.com"}', headers })
      const refused = { status: 415, json: { code: 'media_type_unsupported' } }
      t.match(answer, refused, JSON.stringify(headers))
    }
    t.ok(await nothingLeft())
  },
)

t.test('two imports run at once; the next ones wait, and are rejected if they wait too long', async (t) => {
  const begin = () => {
    const sent = request(url + PATH, { method: 'POST', headers: NDJSON, agent: false }).on('error', () => {})
    sent.write('{"username":"slow@example.com"}\n')
    return sent
  }
  const senders = [begin(), begin()]
  await sleep(200)
  const late = call('POST', PATH, { body: '{"username":"late@example.com"}', headers: NDJSON })
  t.equal((await call('GET', '/v1/users')).status, 200, 'other requests are answered')
  t.match(await late, { status: 503, json: { code: 'overloaded' }, headers: { 'retry-after': /^\d+$/ } })
  for (const sender of senders) sender.destroy()
  t.ok(await nothingLeft())
  t.match(await call('POST', PATH, { body: '{"username":"late@example.com"}', headers: NDJSON }), { status: 201 })
  t.equal(app.server.requestTimeout > 900_000, true, 'the server’s timeout is longer than the import’s')
})
