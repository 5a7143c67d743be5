import { as, WITH_KEYS } from '../http/keys.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { exchange } from './raw-exchange.ts'

const t = suite()

/* Values in a request must not add a header line to the response, wherever they are returned in a header. */

const { call, url } = await sharedService(t, WITH_KEYS)
const port = Number(new URL(url).port)
const { authorization } = as('root')
await call('POST', '/v1/pools', { body: { name: 'split' }, headers: { authorization } })
const { json } = await call<{ state: string }>('GET', '/v1/states/current', { headers: { authorization } })

/** A request with a value in one place. */
interface RawRequest {
  line: string
  head?: Record<string, string>
  body?: string
}

/** The response header, a valid value, what the header then contains, and the request. */
type Place = [header: string, right: string, expected: RegExp, ask: (value: string) => RawRequest]

/** The default hash takes 50 ms. */
const ONE_USER = '{"count":1,"config":{"password_hash":{"algorithm":"none"}}}'
const URL_OF_TARGET = 'http://127.0.0.1:9'
const PLACES: Record<string, Place> = {
  'pool: name': [
    'location',
    'a',
    /^\/v1\/pools\/a$/,
    (name) => ({ line: 'POST /v1/pools', body: `{"name":"${name}"}` }),
  ],
  'target: name': [
    'location',
    'a',
    /targets\/a$/,
    (name) => ({ line: 'POST /v1/targets', body: `{"name":"${name}","url":"${URL_OF_TARGET}"}` }),
  ],
  'target: pool': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: `POST /v1/targets?pool=${pool}`, body: `{"name":"a","url":"${URL_OF_TARGET}"}` }),
  ],
  'template: name': [
    'location',
    'a',
    /templates\/a$/,
    (name) => ({ line: 'POST /v1/templates', body: `{"name":"${name}","config":{}}` }),
  ],
  'template: path': [
    'location',
    'b',
    /templates\/b$/,
    (name) => ({ line: `PUT /v1/templates/${name}`, body: '{"config":{}}' }),
  ],
  'template: pool': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: `POST /v1/templates?pool=${pool}`, body: '{"name":"a","config":{}}' }),
  ],
  'batch: pool': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: `POST /v1/batches?pool=${pool}`, body: ONE_USER }),
  ],
  'batch: pool in the body': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: 'POST /v1/batches', body: `{"pool":"${pool}",${ONE_USER.slice(1)}` }),
  ],
  'import: pool': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: `POST /v1/users/import?pool=${pool}`, body: '[]' }),
  ],
  'sync: pool': [
    'location',
    'split',
    /pool=split$/,
    (pool) => ({ line: `POST /v1/sync?pool=${pool}`, body: '{"target":"a"}' }),
  ],
  'docs: address': ['location', '', /^docs\/$/, (value) => ({ line: `GET /docs${value}` })],
  'docs: host': ['location', 'x', /^docs\/$/, (host) => ({ line: 'GET /docs', head: { 'x-forwarded-host': host } })],
  'page: limit': ['link', '1', /limit=1&cursor=/, (limit) => ({ line: `GET /v1/pools?limit=${limit}` })],
  'page: path': ['link', 'pools', /^<\/v1\/pools\?/, (path) => ({ line: `GET /v1/${path}?limit=1` })],
  'page: host': [
    'link',
    'evil.example',
    /^<\/v1\/pools\?/,
    (host) => ({ line: `GET http://${host}/v1/pools?limit=1` }),
  ],
  'export: base': ['usersync-base', json.state, /^u1-0/, (base) => ({ line: `HEAD /v1/users/export?base=${base}` })],
  'export: tag': [
    'etag',
    `W/"${json.state}"`,
    /^W\/"u1-0/,
    (tag) => ({ line: 'HEAD /v1/users/export', head: { 'if-none-match': tag } }),
  ],
  'export: format': [
    'content-type',
    'csv',
    /^text\/csv/,
    (format) => ({ line: `HEAD /v1/users/export?format=${format}` }),
  ],
  'export: type': [
    'content-type',
    'text/csv',
    /^text\/csv/,
    (accept) => ({ line: 'HEAD /v1/users/export', head: { accept } }),
  ],
  coding: [
    'vary',
    'gzip',
    /accept-encoding/,
    (coding) => ({ line: 'GET /v1/pools', head: { 'accept-encoding': coding } }),
  ],
  wait: [
    'preference-applied',
    'wait=1',
    /^wait=1$/,
    (prefer) => ({ line: 'POST /v1/batches', head: { prefer }, body: ONE_USER }),
  ],
  'idempotency key': [
    'location',
    'one',
    /batches\/[-0-9a-f]+$/,
    (key) => ({ line: 'POST /v1/batches', head: { 'idempotency-key': key }, body: ONE_USER }),
  ],
  key: ['content-type', authorization, /json/, (key) => ({ line: 'GET /v1/pools', head: { authorization: key } })],
  'wrong key': [
    'www-authenticate',
    'Bearer x',
    /^Bearer realm="usersync"$/,
    (key) => ({ line: 'GET /v1/pools', head: { authorization: key } }),
  ],
  'id of the request': [
    'content-type',
    'x',
    /json/,
    (id) => ({ line: 'GET /v1/nothing', head: { 'request-id': id, 'x-request-id': id } }),
  ],
}

/** Without a space, which would end the request target. */
const LINE = 'set-cookie:evil=1'
/** Line breaks: raw, in JSON, percent-encoded once and twice, and as characters whose last bytes they are. */
const LINE_ENDS = [
  '\r\n',
  '\n',
  '\r',
  '\\r\\n',
  '%0d%0a',
  '%0a',
  '%0d',
  '%250d%250a',
  '\u560d\u560a',
  '%E5%98%8D%E5%98%8A',
  '\\u560d\\u560a',
]

function say({ line, head = {}, body }: RawRequest) {
  const json: Record<string, string> =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
  const headers = Object.entries({ host: 'x', connection: 'close', authorization, ...json, ...head })
  const text = `${line} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body ?? ''}`
  return exchange(port, [Buffer.from(text)])
}

for (const [place, [header, right, expected, ask]] of Object.entries(PLACES)) {
  t.test(`no line break gets into the response: ${place}`, async (t) => {
    const { answers } = await say(ask(right))
    t.match(answers[0]?.headers[header], expected, `a valid value leads to ${header}`)
    for (const end of LINE_ENDS) {
      const { answers, rest } = await say(ask(`${right}${end}${LINE}${end}${end}x`))
      const what = JSON.stringify(end)
      t.strictSame([answers.length, rest], [1, ''], `${what}: one complete response`)
      t.notOk(answers[0]?.headers['set-cookie'], what)
      t.notMatch(answers[0]?.headers['location'] ?? '', /evil/, what)
      t.ok((answers[0]?.status ?? 500) < 500, `${what}: ${answers[0]?.status}`)
    }
  })
}
