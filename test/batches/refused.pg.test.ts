import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { sql, call } = await sharedService(t, { MAX_BATCH_USERS: '2000' })

const JSON_TYPE = { 'content-type': 'application/json' }
const deep = (levels: number) =>
  `{"count":1,"config":{"custom_attributes":{"a":${'['.repeat(levels)}${']'.repeat(levels)}}}}`

/** Everything that a batch writes, to check that a rejected one has written nothing. */
const written = async () => [
  ...(await sql`
    select (select count(*) from batches) as batches, (select count(*) from chunks) as chunks, (select count(*) from users) as users,
      next_user_number, next_credential_id from pools`),
]

t.test('an invalid batch is rejected, and nothing is written', async (t) => {
  const before = await written()
  const invalid = (path: string, code: string) => ({ status: 400, code: 'invalid_request', errors: [{ path, code }] })
  const config = (members: object, count = 2) => ({ count, config: members })
  const pattern = (username_pattern: string, count = 2) => config({ username_pattern }, count)
  const badPattern = { status: 400, code: 'pattern_invalid', errors: [{ path: 'body.config.username_pattern' }] }
  const foreign = { status: 422, code: 'domain_not_reserved' }
  const table: [body: object | string, expected: object, headers?: Record<string, string>][] = [
    [{}, invalid('body.count', 'missing_member')],
    [{ count: 0 }, invalid('body.count', 'minimum')],
    [{ count: -1 }, invalid('body.count', 'minimum')],
    [{ count: 2001 }, invalid('body.count', 'maximum')],
    [{ count: 1.5 }, invalid('body.count', 'type')],
    [{ count: true }, invalid('body.count', 'type')],
    [{ count: '5' }, invalid('body.count', 'type')],
    [{ count: null }, invalid('body.count', 'type')],
    [{ count: [5] }, invalid('body.count', 'type')],
    [{ count: 1, cuont: 1 }, invalid('body.cuont', 'unknown_member')],
    [{ count: 1, label: 5 }, invalid('body.label', 'type')],
    [{ count: 1, label: 'x'.repeat(201) }, invalid('body.label', 'maxLength')],
    [{ count: 1, config: [] }, invalid('body.config', 'type')],
    [config({ pattern: 'u{id}' }), invalid('body.config.pattern', 'unknown_member')],
    [config({ chunk_size: 0 }), invalid('body.config.chunk_size', 'minimum')],
    [config({ max_workers: 3 }), invalid('body.config.max_workers', 'maximum')],
    [config({ password: '' }), invalid('body.config.password', 'minLength')],
    [config({ password_hash: { algorithm: 'md5' } }), invalid('body.config.password_hash.algorithm', 'enum')],
    [config({ custom_attributes: 'gold' }), invalid('body.config.custom_attributes', 'type')],
    [config({ email_domain: 'a b' }), invalid('body.config.email_domain', 'pattern')],
    [pattern(''), invalid('body.config.username_pattern', 'minLength')],
    [pattern('u{id}{uuid}'), { ...badPattern, detail: /\{uuid\}/ }],
    [pattern('admin'), badPattern],
    [pattern('u{batch}'), badPattern],
    [pattern('u {id}'), badPattern],
    [pattern(`${'x'.repeat(242)}{n}`, 10), { ...badPattern, detail: /25[5-9]/ }],
    [pattern('u{id}@gmail.com'), foreign],
    [pattern('u{id}@example.com.evil.org'), foreign],
    [config({ username_pattern: 'u{id}', email_domain: 'shop.de' }), foreign],
    [
      { count: 1, label: 'nul \u0000' },
      { status: 400, code: 'invalid_request' },
    ],
    [
      { count: 1, label: 'half \ud800' },
      { status: 400, code: 'invalid_request' },
    ],
    [pattern('u\u0000{id}'), { status: 400, code: 'pattern_invalid' }],
    [config({ role: '\ud800' }), { status: 400, code: 'invalid_request' }],
    [config({ custom_attributes: { '\ud800': 1 } }), { status: 400, code: 'invalid_request' }],
    [config({ custom_attributes: { a: '\udc00' } }), { status: 400, code: 'invalid_request' }],
    [deep(20_000), { status: 400 }, JSON_TYPE],
    [
      { count: 1, pool: 'nowhere' },
      { status: 404, code: 'pool_not_found' },
    ],
    [{ count: 1, pool: 'No Name' }, invalid('body.pool', 'pattern')],
    [[], invalid('body', 'type')],
    ['', { status: 400, code: 'invalid_json' }, JSON_TYPE],
    ['{"count":1', { status: 400, code: 'invalid_json' }, JSON_TYPE],
    ["{'count':1}", { status: 400, code: 'invalid_json' }, JSON_TYPE],
    ['{"count":1}{', { status: 400, code: 'invalid_json' }, JSON_TYPE],
    [
      '{"count":1,"__proto__":{}}',
      { status: 400, errors: [{ path: 'body.__proto__', code: 'unknown_member' }] },
      JSON_TYPE,
    ],
    [
      'count=1',
      { status: 415, code: 'media_type_unsupported' },
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    ['{"count":1}', { status: 415, code: 'media_type_unsupported' }, { 'content-type': 'text/plain' }],
    ['{"count":1}', { status: 415, code: 'media_type_unsupported' }],
    ['{"count":1}', { status: 415, code: 'media_type_unsupported' }, { ...JSON_TYPE, 'content-encoding': 'snappy' }],
    ['{"count":1}', { status: 400, code: 'invalid_request' }, { ...JSON_TYPE, 'content-encoding': 'gzip' }],
    [
      { count: 1, label: 'x'.repeat(1_048_576) },
      { status: 413, code: 'body_too_large' },
    ],
  ]
  for (const [body, expected, headers = {}] of table) {
    const { status, json, headers: answered } = await call<{ status: number }>('POST', '/v1/batches', { body, headers })
    const what = (typeof body === 'string' ? body : JSON.stringify(body)).slice(0, 80)
    t.match(
      json,
      { type: /^urn:usersync:problem:/, title: String, detail: String, instance: String, ...expected },
      what,
    )
    t.match(answered['content-type'], /^application\/problem\+json/, what)
    t.equal(status, json.status, what)
  }
  t.strictSame(await written(), before)
})

t.test('query parameters are validated as strictly as the body', async (t) => {
  const post = (path: string, body: object) => call('POST', path, { body })
  t.match(await post('/v1/batches?poool=a', { count: 1 }), {
    status: 400,
    json: { errors: [{ code: 'unknown_member' }] },
  })
  t.match(await post('/v1/batches?pool=nowhere', { count: 1 }), { status: 404, json: { code: 'pool_not_found' } })
  t.match(await post('/v1/batches?pool=default', { count: 1, pool: 'other' }), {
    status: 400,
    json: { code: 'invalid_request', errors: [{ path: 'body.pool', code: 'contradiction' }] },
  })
  for (const query of ['limit=0', 'limit=1001', 'limit=ten', 'page=2', 'limit=5&limit=6']) {
    t.match(await call('GET', `/v1/batches?${query}`), { status: 400, json: { code: 'invalid_request' } }, query)
  }
  for (const cursor of ['x', '', Buffer.from('["batches 2","x"]').toString('base64url')]) {
    t.match(
      await call('GET', `/v1/batches?cursor=${cursor}`),
      { status: 400, json: { code: 'cursor_invalid' } },
      cursor,
    )
  }
})

t.test('a batch that does not exist answers 404', async (t) => {
  for (const method of ['GET', 'DELETE']) {
    const missing = await call(method, '/v1/batches/01890000-0000-7000-8000-000000000000')
    t.match(missing, { status: 404, json: { code: 'batch_not_found' } })
    t.match(await call(method, '/v1/batches/1'), { status: 400, json: { errors: [{ path: 'params.id' }] } })
  }
})

t.test('an unsupported method answers 405 with Allow', async (t) => {
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const { status, headers, json } = await call(method, '/v1/batches')
    t.match({ status, json }, { status: 405, json: { code: 'method_not_allowed' } }, method)
    t.equal(headers.allow, 'GET, HEAD, POST')
  }
})
