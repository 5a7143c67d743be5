import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { SCOPES } from '../../src/config/api-keys.ts'
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import { suite } from '../suite.ts'
import { as, WITH_KEYS } from './keys.ts'
import type { Answer } from './service.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/*
 * What a web page that the operator visits can reach of a service without keys, over every route of the description.
 * Both were tried, and fail here: without the check of Host; without the check of Origin and Sec-Fetch-Site.
 */

const service = await sharedService(t)
const { call, sql, app, url } = service
const { paths } = app.swagger() as unknown as { paths: Record<string, object> }
const [user] = await sql<{ id: string }[]>`
  insert into users (username, email) values ('a@example.com', 'a@example.com') returning id`
const routes = Object.entries(paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({
    method: method.toUpperCase(),
    path: path.replace('{id}', user?.id ?? '').replace('{name}', 'default'),
  })),
)
const everything = async () => {
  const tables = ['users', 'pools', 'batches', 'templates', 'targets', 'sync_runs', 'states'] as const
  return await Promise.all(tables.map((table) => sql`select r::text from ${sql(table)} r order by 1`))
}
const before = await everything()
const USER = '{"username":"page@example.com","role":"made-by-a-page"}'

/** Whether a response has this problem, as JSON or as a page of the Simple Table Server. */
const isProblem = ({ json, raw }: Answer<{ code: string }>, code: ErrorCode) =>
  json ? json.code === code : raw.toString().includes(`<body>Error : ${ERRORS[code].title}.`)

t.test('a name rebound to this machine gets 421 on every route', async (t) => {
  for (const { method, path } of [...routes, { method: 'GET', path: '/docs/' }, { method: 'GET', path: '/nothing' }]) {
    for (const host of [
      'evil.example',
      'evil.example:3000',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '128.0.0.1',
    ]) {
      const answer = await call<{ code: string }>(method, path, { headers: { host } })
      const isRight = answer.status === 421 && (method === 'HEAD' || isProblem(answer, 'misdirected_request'))
      if (!isRight) t.fail(`${method} ${path} for ${host}: ${answer.status}`)
    }
  }
  t.strictSame(await everything(), before)
})

t.test('the names of this machine are accepted', async (t) => {
  for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1:9', '127.8.9.1', '[::1]:3000', '[::1]']) {
    t.match(await call('GET', '/v1/users', { headers: { host } }), { status: 200 }, host)
  }
  const raw = async (request: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(request)
    return (await text(socket)).slice(9, 12)
  }
  const end = 'connection: close\r\n\r\n'
  t.equal(
    await raw(`GET http://evil.example/livez HTTP/1.1\r\nhost: localhost\r\n${end}`),
    '421',
    'in the request target',
  )
  t.equal(await raw(`GET http://localhost:1/livez HTTP/1.1\r\nhost: localhost\r\n${end}`), '200')
  t.equal(await raw(`GET /livez HTTP/1.0\r\n${end}`), '200', 'browsers do not use HTTP/1.0')
})

t.test('a page of another site cannot change anything', async (t) => {
  const types = [undefined, 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']
  const senders = [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:1' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]
  for (const { method, path } of routes.filter(
    (route) => !/^(GET|HEAD) \/(?!sts)/.test(`${route.method} ${route.path}`),
  )) {
    for (const sender of senders) {
      for (const type of types) {
        const headers = { ...sender, ...(type && { 'content-type': type }), 'content-length': String(USER.length) }
        const answer = await call<{ code: string }>(method, `${path}`, { headers, body: USER })
        const isRefused = answer.status === 403 && isProblem(answer, 'cross_site_request')
        if (!isRefused) t.fail(`${method} ${path}: ${answer.status}`)
      }
    }
  }
  for (const query of ['format=ndjson', 'format=json', 'format=csv', 'on_conflict=update&format=ndjson']) {
    for (const type of types) {
      const headers = { ...(type && { 'content-type': type }) }
      const answer = await call('POST', `/v1/users/import?${query}`, { headers, body: USER })
      t.match(answer, { status: 415 }, `${query} as ${type}, from a browser that sends no origin`)
    }
  }
  t.strictSame(await everything(), before)
})

t.test('the service’s own page, and clients that are not browsers, are served', async (t) => {
  for (const headers of [{}, { origin: url, 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }]) {
    const answer = await call('PATCH', `/v1/users/${user?.id}`, { headers, body: { role: 'tester' } })
    t.match(answer, { status: 200 }, JSON.stringify(headers))
  }
  t.match(
    await call('GET', '/v1/users', { headers: { origin: 'http://evil.example' } }),
    { status: 200 },
    'GET changes nothing',
  )
})

t.test('without keys, every request has all scopes', async (t) => {
  t.strictSame((await call('GET', '/v1/me')).json, { name: null, scopes: SCOPES, pools: [] })
})

t.test('with keys, any host and origin is accepted, because a page has no key', async (t) => {
  const keyed = await sharedService(t, WITH_KEYS)
  const headers = { ...as('root'), host: 'usersync.example.org', origin: 'https://console.example.org' }
  t.match(await keyed.call('POST', '/v1/pools', { headers, body: { name: 'made' } }), { status: 201 })
})
