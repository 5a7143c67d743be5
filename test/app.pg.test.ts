import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { SCOPES, type Scope } from '../src/config/api-keys.ts'
import { examplePath } from './http/example-path.ts'
import { as, secretOf, WITH_KEYS } from './http/keys.ts'
import { ROUTE_BODIES } from './http/route-bodies.ts'
import { sharedService } from './http/shared-service.ts'
import { suite } from './suite.ts'

const t = suite()

/* What every route has in common: keys and scopes, methods, parameters, the format of errors, the log. */

const { app, call, log, url } = await sharedService(t, WITH_KEYS)

/** The scope that each route needs; null: no key needed. Add each new route here. */
const SCOPE_OF: Record<string, string | null> = {
  'GET /v1/pools': 'admin',
  'POST /v1/pools': 'admin',
  'GET /v1/pools/{name}': 'admin',
  'PATCH /v1/pools/{name}': 'admin',
  'DELETE /v1/pools/{name}': 'admin',
  'GET /v1/templates': 'users:read',
  'POST /v1/templates': 'users:write',
  'GET /v1/templates/{name}': 'users:read',
  'PUT /v1/templates/{name}': 'users:write',
  'DELETE /v1/templates/{name}': 'users:write',
  'POST /v1/templates/validate': 'users:read',
  'GET /v1/templates/export': 'users:read',
  'POST /v1/templates/import': 'users:write',
  'POST /v1/batches': 'users:write',
  'POST /v1/batches/preview': 'users:read',
  'GET /v1/batches': 'users:read',
  'GET /v1/batches/{id}': 'users:read',
  'DELETE /v1/batches/{id}': 'users:write',
  'POST /v1/batches/{id}/cancel': 'users:write',
  'GET /v1/batches/{id}/events': 'users:read',
  'GET /v1/batches/{id}/failures': 'users:read',
  'GET /v1/users': 'users:read',
  'POST /v1/users/import': 'users:write',
  'GET /v1/users/{id}': 'users:read',
  'GET /v1/users/{id}/totp': 'credentials:read',
  'PATCH /v1/users/{id}': 'users:write',
  'DELETE /v1/users/{id}': 'users:write',
  'GET /v1/users/export': 'users:read',
  'GET /v1/exports/{state}': 'users:read',
  'GET /v1/exports/{base}/{state}': 'users:read',
  'GET /v1/states/current': 'users:read',
  'GET /v1/audit': 'admin',
  'GET /v1/stats': 'users:read',
  'GET /v1/lifecycle/candidates': 'users:read',
  'POST /v1/lifecycle/expire': 'users:write',
  'GET /v1/targets': 'admin',
  'POST /v1/targets': 'admin',
  'GET /v1/targets/{name}': 'admin',
  'PATCH /v1/targets/{name}': 'admin',
  'DELETE /v1/targets/{name}': 'admin',
  'POST /v1/targets/{name}/clear': 'users:write',
  'GET /v1/targets/{name}/failures': 'users:read',
  'POST /v1/sync': 'users:write',
  'GET /v1/sync/runs': 'users:read',
  'GET /v1/sync/runs/{id}': 'users:read',
  'GET /v1/sync/status': 'users:read',
  'POST /v1/sync/verify': 'users:read',
  'POST /v1/leases': 'users:lease',
  'GET /v1/leases': 'users:lease',
  'GET /v1/leases/stats': 'users:lease',
  'GET /v1/leases/{id}': 'users:lease',
  'DELETE /v1/leases/{id}': 'admin',
  'POST /v1/leases/{id}/renew': 'users:lease',
  'POST /v1/leases/{id}/return': 'users:lease',
  'POST /v1/leases/reset': 'users:lease',
  'GET /v1/users/{id}/leases': 'users:read',
  ...Object.fromEntries(
    ['READ', 'ADD', 'LENGTH', 'INITFILE', 'RESET', 'STATUS'].flatMap((command) =>
      ['GET', 'POST'].map((method) => [`${method} /sts/${command}`, 'users:lease']),
    ),
  ),
  'GET /v1/replica/users': 'users:read',
  'PUT /v1/replica/users': 'users:write',
  'GET /clients/k6.js': null,
  'GET /clients/usersync.py': null,
  'GET /v1/me': 'any',
  'GET /metrics': null,
  'GET /livez': null,
  'GET /readyz': null,
  'GET /healthz': null,
}

const { paths } = app.swagger() as { paths: Record<string, Record<string, { requestBody?: object }>> }
const routes = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { requestBody }]) => ({
    method: method.toUpperCase(),
    path,
    hasBody: !!requestBody,
  })),
)

/** The key that has only this scope. */
const KEY_OF: Record<Scope, string> = {
  'users:read': 'reader',
  'users:write': 'maker',
  'users:lease': 'lessee',
  'credentials:read': 'teller',
  admin: 'root',
}

t.test('every route requires its scope, and rejects a missing or wrong key with 401', async (t) => {
  t.strictSame(
    routes
      .map(({ method, path }) => `${method} ${path}`)
      .filter((route) => !route.startsWith('HEAD'))
      .toSorted(),
    Object.keys(SCOPE_OF).toSorted(),
  )
  for (const { method, path, hasBody } of routes) {
    const needed = SCOPE_OF[`${method.replace('HEAD', 'GET')} ${path}`]
    const send = (headers: Record<string, string>) =>
      call(method, examplePath(path), hasBody ? { headers, body: {} } : { headers })
    const without = await send({})
    t.equal(without.status === 401, needed !== null, `${method} ${path} without a key: ${without.status}`)
    t.equal(without.headers['www-authenticate'] !== undefined, needed !== null)
    const { status } = await send({ authorization: `Bearer ${secretOf('root')}x` })
    t.equal(status === 401, needed !== null, `${method} ${path} with a wrong key: ${status}`)
    for (const scope of SCOPES) {
      const allowed = needed === null || needed === 'any' || scope === needed || scope === 'admin'
      const { status } = await send(as(KEY_OF[scope]))
      t.equal(status !== 401 && status !== 403, allowed, `${method} ${path} with ${scope}: ${status}`)
    }
  }
})

t.test('every route rejects an unknown query parameter', async (t) => {
  for (const { method, path, hasBody } of routes) {
    if (!path.startsWith('/v1/')) continue
    const body = ROUTE_BODIES[path] ?? { role: 'x' }
    const answer = await call(method, `${examplePath(path)}?no_such=1`, {
      headers: as('root'),
      ...(hasBody && { body }),
    })
    t.equal(answer.status, 400, `${method} ${path}`)
    if (method !== 'HEAD') t.match(answer.json, { code: 'invalid_request', errors: [{ path: 'querystring.no_such' }] })
  }
})

t.test('an unsupported method answers 405 with Allow', async (t) => {
  for (const [path, methods] of Object.entries(paths)) {
    const other = 'put' in methods ? 'PATCH' : 'PUT'
    const { status, headers, json } = await call(other, examplePath(path), { headers: as('root') })
    t.match({ status, json }, { status: 405, json: { code: 'method_not_allowed' } }, path)
    const allowed = String(headers.allow).split(', ')
    for (const method of Object.keys(methods)) t.ok(allowed.includes(method.toUpperCase()), `${path}: ${headers.allow}`)
    t.notOk(allowed.includes(other))
  }
})

t.test('every error is problem+json, whichever layer finds it', async (t) => {
  const faults: [method: string, path: string, status: number, code: string][] = [
    ['GET', '/nothing', 404, 'route_not_found'],
    ['GET', '/v1', 404, 'route_not_found'],
    ['GET', '/v1/users/x/y', 404, 'route_not_found'],
    ['GET', '/v2/users', 404, 'route_not_found'],
    ['GET', '/%zz', 400, 'invalid_request'],
    ['GET', `/v1/pools/${'x'.repeat(300)}`, 404, 'route_not_found'],
    ['GET', '/v1/users/%00', 400, 'invalid_request'],
    ['PROPFIND', '/v1/users', 405, 'method_not_allowed'],
    ['QUERY', '/v1/users', 405, 'method_not_allowed'], // Fastify would require a body
  ]
  for (const [method, path, status, code] of faults) {
    const answer = await call(method, path, { headers: as('root') })
    t.match(
      answer,
      {
        status,
        json: { type: `urn:usersync:problem:${code}`, status, code, title: String, detail: String, instance: String },
      },
      path,
    )
    t.match(answer.headers['content-type'], /^application\/problem\+json/, path)
  }
})

t.test('malformed HTTP also gets problem+json', async (t) => {
  const bad: [text: string, status: number][] = [
    ['what?\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431],
  ]
  for (const [sent, status] of bad) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(sent)
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
    t.match(head, new RegExp(`^HTTP/1\\.1 ${status} [^]*application/problem\\+json`), sent.slice(0, 20))
    t.match(JSON.parse(body), { status, code: String, title: String })
  }
})

t.test('an unknown Expect header is ignored', async (t) => {
  t.match(await call('GET', '/livez', { headers: { expect: 'tea' } }), { status: 200, json: { status: 'live' } })
  const answer = await call('POST', '/v1/pools', { headers: { ...as('root'), expect: 'x' }, body: { nam: 'x' } })
  t.match(answer, { status: 400, json: { code: 'invalid_request' } })
})

t.test('a request is logged with its route and status, without its query or key', async (t) => {
  const before = log.length
  await call('GET', '/v1/users?limit=7&cursor=hunter2', { headers: as('root') })
  await call('GET', '/v1/pools/secret-pool', { headers: as('root') })
  await call('GET', '/livez')
  await call('GET', '/v1/users/export', { headers: { ...as('root'), 'if-none-match': '*' } })
  const lines = log
    .slice(before)
    .map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === 'request')
  t.match(lines, [
    { level: 30, method: 'GET', route: '/v1/users', status: 400, ms: Number, reqId: String },
    { level: 30, method: 'GET', route: '/v1/pools/:name', status: 404 },
    { level: 20, method: 'GET', route: '/livez', status: 200 },
    { level: 20, method: 'GET', route: '/v1/users/export', status: 304 },
  ])
  t.notOk(log.some((line) => /hunter2|s3cret-of-32/.test(line)))
})
