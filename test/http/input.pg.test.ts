import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { makePool } from '../export/observe.ts'
import { isFull } from '../size.ts'
import { suite } from '../suite.ts'
import { ROUTE_BODIES } from './route-bodies.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/* Each error in a request is reported by its cause, whatever else the request contains, and on every route. */

const { app, call, sql, url } = await sharedService(t)

interface Answer {
  status: number
  allow: string | null
  json: { code?: string; detail?: string; errors?: { path: string; code: string; message: string }[] }
}

async function send(method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) {
  const answer = await fetch(url + path, { method, body: body as string, headers })
  const text = await answer.text()
  return {
    status: answer.status,
    allow: answer.headers.get('allow'),
    json: text === '' ? {} : JSON.parse(text),
  } as Answer
}

interface Operation {
  requestBody?: { content: Record<string, unknown> }
}
const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
const addressOf = (path: string) =>
  path
    .replace('{id}', '01890000-0000-7000-8000-000000000000')
    .replace('{name}', 'x')
    .replaceAll(/\{(base|state)\}/g, `u1-${'1'.repeat(64)}`)
const JSON_TYPE = { 'content-type': 'application/json' }

const jsonRoutes = Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations)
    .filter(([, { requestBody }]) => requestBody?.content['application/json'])
    .map(([method]) => ({ method: method.toUpperCase(), path })),
)

t.test('bytes that are not UTF-8 are rejected in every JSON body', async (t) => {
  t.ok(jsonRoutes.length >= 12, `${jsonRoutes.length} routes`)
  for (const { method, path } of jsonRoutes) {
    const body = { ...(ROUTE_BODIES[path] ?? { role: 'x' }), pool: 'j?r' }
    const latin1 = Buffer.from(JSON.stringify(body).replace('?', 'ü'), 'latin1')
    for (const [headers, bytes] of [
      [JSON_TYPE, latin1],
      [{ ...JSON_TYPE, 'content-encoding': 'gzip' }, gzipSync(latin1)],
    ] as const) {
      const { status, json } = await send(method, addressOf(path), bytes, headers)
      t.match(
        { status, json },
        { status: 400, json: { code: 'invalid_request', detail: 'The body is not UTF-8.' } },
        path,
      )
    }
  }
  const bytes = Buffer.from('{"count":1,"config":{"username_pattern":"j\xfcr_{id}","password":"gr\xfcn"}}', 'latin1')
  t.match(await send('POST', '/v1/batches', bytes, JSON_TYPE), { status: 400 })
  const withMark = Buffer.from(`\ufeff{"name":"with-mark"}`)
  t.match(await send('POST', '/v1/pools', withMark, JSON_TYPE), { status: 201 }, 'a byte order mark is ignored')
})

t.test('a route that takes no body rejects one with members', async (t) => {
  for (const body of ['{"pool":"other"}', '[1]', '5']) {
    const answer = await send('DELETE', '/v1/templates/x', body, JSON_TYPE)
    t.match(answer, { status: 400, json: { errors: [{ path: /^body/, code: 'unknown_member' }] } }, body)
  }
  t.match(await send('DELETE', '/v1/templates/x', '{}', JSON_TYPE), { status: 404 })
})

t.test('a URL is percent-encoded UTF-8', async (t) => {
  const body = '{"username":"a@example.com"}'
  const type = { 'content-type': 'application/x-ndjson' }
  for (const query of ['label=j%FCr', 'label=100%', 'label=%e2%82', '%FC=1']) {
    t.match(
      await send('POST', `/v1/users/import?${query}`, body, type),
      { status: 400, json: { code: 'invalid_request' } },
      query,
    )
  }
  t.match(await send('POST', '/v1/users/import?label=j%C3%BCr+100%25', body, type), {
    status: 201,
    json: { label: 'jür 100%' },
  })
  t.match(await send('GET', '/v1/templates/%FC'), { status: 400 })
})

t.test('a wrong method is rejected before the body is read', async (t) => {
  const bodies: [body: string | Buffer, headers: Record<string, string>][] = [
    ['username\na@example.com\n', { 'content-type': 'text/csv' }],
    ['{"', JSON_TYPE],
    ['x', { 'content-type': 'none' }],
    ['x', { ...JSON_TYPE, 'content-encoding': 'rar' }],
    [Buffer.from([0xff]), JSON_TYPE],
    ['x'.repeat(1_100_000), JSON_TYPE],
  ]
  for (const [i, [path, operations]] of Object.entries(paths).entries()) {
    const method = ['PUT', 'POST', 'DELETE', 'PATCH'].find((each) => !(each.toLowerCase() in operations)) ?? ''
    // In the small size, each body is sent to each third path.
    for (const [body, headers] of bodies.filter((_, n) => isFull || n % 3 === i % 3)) {
      const { status, allow, json } = await send(method, addressOf(path), body, headers)
      t.match({ status, json }, { status: 405, json: { code: 'method_not_allowed' } }, `${method} ${path}`)
      for (const each of Object.keys(operations)) t.ok(allow?.split(', ').includes(each.toUpperCase()), `${allow}`)
    }
  }
})

t.test('an unknown path is rejected before the body is read, and a trailing slash is reported', async (t) => {
  for (const path of ['/v1/nothing', '/v2/users', '/nothing']) {
    for (const type of ['text/csv', 'application/json']) {
      const answer = await send('POST', path, 'x', { 'content-type': type })
      t.match(answer, { status: 404, json: { code: 'route_not_found' } }, path)
    }
  }
  for (const path of Object.keys(paths).filter((each) => each.startsWith('/v1/'))) {
    for (const method of ['GET', 'POST']) {
      const answer = await send(method, `${addressOf(path)}/?pool=default`, ...(method === 'POST' ? ['x'] : []))
      const detail = `No route ends in a slash. Use ${addressOf(path)}.`
      t.match(answer, { status: 404, json: { code: 'route_not_found', detail } }, path)
    }
  }
})

t.test('x-gzip is accepted, and a zstd window that is too large is reported', async (t) => {
  for (const coding of ['x-gzip', 'X-GZIP', 'GZip']) {
    const headers = { 'content-encoding': coding }
    const pool = await send(
      'POST',
      '/v1/pools',
      gzipSync(`{"name":"${coding.toLowerCase()}-${coding.charCodeAt(2)}"}`),
      { ...headers, ...JSON_TYPE },
    )
    t.match(pool, { status: 201 }, coding)
    const rows = gzipSync(`{"username":"${coding}@example.com"}`)
    t.match(
      await send('POST', '/v1/users/import', rows, { ...headers, 'content-type': 'application/x-ndjson' }),
      { status: 201 },
      coding,
    )
  }
  t.equal(
    (await call('GET', '/v1/users?limit=1000', { headers: { 'accept-encoding': 'x-gzip' } })).headers[
      'content-encoding'
    ],
    'gzip',
  )

  const text = `[${Array.from({ length: 300_000 }, (_, i) => `{"username":"u${i}@x.test"}`).join()}]`
  const wide = zstdCompressSync(Buffer.from(text), { params: { [constants.ZSTD_c_windowLog]: 27 } })
  const named = { status: 400, json: { code: 'invalid_request', detail: /window of more than 8 MiB/ } }
  for (const path of ['/v1/users/import', '/v1/pools']) {
    t.match(await send('POST', path, wide, { ...JSON_TYPE, 'content-encoding': 'zstd' }), named, path)
  }
})

t.test('__proto__ is a member like any other, in every body', async (t) => {
  const attributes = '{"__proto__":{"a":1},"constructor":{"prototype":2}}'
  const stored = '"custom_attributes":{"__proto__": {"a": 1}, "constructor": {"prototype": 2}}'
  const config = `"config":{"custom_attributes":${attributes}}`
  const made: [pool: string, path: string, body: string][] = [
    ['proto-batch', '/v1/batches', `{"count":1,${config}}`],
    ['proto-template', '/v1/batches', '{"count":1,"template":"proto"}'],
    ['proto-import', '/v1/users/import', `[{"username":"a@example.com","custom_attributes":${attributes}}]`],
  ]
  for (const [pool, path, body] of made) {
    await makePool(sql, pool)
    if (pool === 'proto-template') {
      const template = await call('POST', `/v1/templates?pool=${pool}`, {
        body: `{"name":"proto",${config}}`,
        headers: JSON_TYPE,
      })
      t.equal(template.status, 201)
      t.ok(template.raw.includes('"custom_attributes":{"__proto__":{"a":1}'), template.raw.toString())
    }
    t.match(
      await call('POST', `${path}?pool=${pool}`, { body, headers: { ...JSON_TYPE, prefer: 'wait=30' } }),
      { status: 201 },
      pool,
    )
    const exported = (await call('GET', `/v1/users/export?format=ndjson&pool=${pool}`)).raw.toString()
    t.ok(exported.includes(stored), `${pool}: ${exported}`)
  }
  const errors = [{ path: 'body.__proto__', code: 'unknown_member' }]
  const unknown = { status: 400, json: { code: 'invalid_request', errors } }
  t.match(await send('POST', '/v1/pools', '{"name":"a","__proto__":{"name":"b"}}', JSON_TYPE), unknown)
})

t.test('all errors of a request are reported at once, at most 20', async (t) => {
  const body = { count: 0, cuont: 1, label: 5, config: { role: ' ', email_domain: 'a b', max_workers: 0 } }
  const { json } = await send('POST', '/v1/batches?pool=A&wait=1', JSON.stringify(body), JSON_TYPE)
  const expected = [
    ['body.config.email_domain', 'pattern'],
    ['body.config.max_workers', 'minimum'],
    ['body.config.role', 'pattern'],
    ['body.count', 'minimum'],
    ['body.cuont', 'unknown_member'],
    ['body.label', 'type'],
    ['querystring.pool', 'pattern'],
    ['querystring.wait', 'unknown_member'],
  ]
  t.strictSame(json.errors?.map(({ path, code }) => [path, code]).sort(), expected)
  t.match(json.errors?.find(({ path }) => path === 'body.config.role')?.message, /1 to 64 characters, with no blank/)
  for (const { path, message } of json.errors ?? []) t.ok(json.detail?.includes(`${path} ${message}`), path)

  const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`m${i}`, i]))
  t.equal((await send('POST', '/v1/pools', JSON.stringify(many), JSON_TYPE)).json.errors?.length, 20)
  const chunked = { ...JSON_TYPE, 'transfer-encoding': 'chunked' }
  const gzipped = { ...JSON_TYPE, 'content-encoding': 'gzip' }
  const two = '{"count":"5","x":1}'
  for (const { json } of [
    await call<Answer['json']>('POST', '/v1/batches', { body: two, headers: chunked }),
    await send('POST', '/v1/batches', gzipSync(two), gzipped),
  ]) {
    t.strictSame(json.errors?.map(({ path }) => path).sort(), ['body.count', 'body.x'], 'without a length, or encoded')
  }
  const choice = await send('POST', '/v1/leases', '{"filter":{"attributes":{"plan":{}}}}', JSON_TYPE)
  const message = 'must be one of: string of at most 1000 characters, number, boolean, null'
  t.match(choice.json.errors, [{ path: 'body.filter.attributes.plan', code: 'anyOf', message }])
  t.equal(choice.json.errors?.length, 1, 'one error for one member')
  const params = await send('PATCH', '/v1/users/x?pool=A', '{"role":" a"}', JSON_TYPE)
  t.strictSame(
    params.json.errors?.map(({ path }) => path),
    ['params.id', 'body.role', 'querystring.pool'],
  )
})

t.test('names that begin or end with a blank are rejected', async (t) => {
  await sql`insert into users (id, username, email) values ('01890000-0000-7000-8000-000000000001', 'blank', 'blank@x.test')`
  for (const name of [' ', 'a ', '\u00a0a', 'a\n']) {
    for (const member of ['username', 'role']) {
      const errors = [{ path: `body.${member}`, code: 'pattern', message: /with no blank at the beginning or end/ }]
      const answer = await send(
        'PATCH',
        '/v1/users/01890000-0000-7000-8000-000000000001',
        JSON.stringify({ [member]: name }),
        JSON_TYPE,
      )
      t.match(answer, { status: 400, json: { errors } }, JSON.stringify(name))
      const row = JSON.stringify([{ username: 'a@x.test', email: 'a@x.test', [member]: name }])
      const imported = await send('POST', '/v1/users/import', row, JSON_TYPE)
      t.match(imported, { status: 422, json: { errors: [{ path: `rows.1.${member}`, code: 'invalid_row' }] } })
    }
    const batch = await send('POST', '/v1/batches', JSON.stringify({ count: 1, config: { role: name } }), JSON_TYPE)
    t.match(batch, { status: 400, json: { errors: [{ path: 'body.config.role', code: 'pattern' }] } })
    const pattern = await send(
      'POST',
      '/v1/batches',
      JSON.stringify({ count: 1, config: { username_pattern: `${name}{id}${name}` } }),
      JSON_TYPE,
    )
    t.match(pattern, { status: 400, json: { code: 'pattern_invalid' } })
  }
})
