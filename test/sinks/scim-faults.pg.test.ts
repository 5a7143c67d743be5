import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { startScim, TOKEN } from './scim-server.ts'
import { sinkRoutes, sinkService } from './sink.ts'
import { startUnreliable } from './unreliable.ts'

const t = suite()

/* What is wrong with a SCIM target as a whole is found at its creation or by its first run, which says what to mend. */

const service = await sinkService(t)
const { call, sql, log } = service
const { create, sync, clear, failures, batch } = sinkRoutes(service)
const server = await startScim(t, sized({ BULK: '0' }, {}))
const before = server.users()
await batch(12)

t.test('faults of a new target are listed with their paths', async (t) => {
  const valid = { name: 'wrong', kind: 'scim', url: server.url, key: TOKEN }
  const wrong = async (members: object) => (await create({ ...valid, ...members })).json.errors?.map(({ path }) => path)
  for (const url of [
    'https://scim.example.com/v2',
    'http://10.0.0.1',
    'ldap://127.0.0.1',
    'http://u:p@127.0.0.1',
    'http://[::1]/?a=1',
  ])
    t.strictSame(await wrong({ url, preset: 'user' }), ['body.url'], url)
  t.strictSame(await wrong({ preset: 'users' }), ['body.preset'])
  t.strictSame(await wrong({ mapping: { active: true } }), ['body.mapping.userName'])
  t.strictSame(await wrong({ preset: 'user', mapping: { userName: '{id}' } }), ['body.preset'])
  const mapping = {
    id: 'x',
    externalId: '{id}',
    title: '{nobody}',
    roles: { $returned: 'x' },
    userName: 'same',
    name: { a: '{' },
  }
  t.strictSame(
    await wrong({ mapping }),
    Object.keys(mapping).map((name) => `body.mapping.${name}`),
  )
})

/** A target whose connections are encrypted by a certificate that nobody knows. */
async function startTls(t: Test): Promise<string> {
  const folder = t.testdir()
  const files = ['-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=127.0.0.1']
  const kind = ['-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...kind, ...files], { cwd: folder })
  const read = (name: string) => readFile(join(folder, name))
  const secure = createServer({ key: await read('key.pem'), cert: await read('cert.pem') }).listen(0, '127.0.0.1')
  await once(secure, 'listening')
  t.teardown(() => secure.close())
  return `https://127.0.0.1:${(secure.address() as AddressInfo).port}/scim/v2`
}

t.test('what only the server knows is the failure of the run, in under 5 s, and nothing is written', async (t) => {
  const noFilter = await startUnreliable(t, server.url)
  noFilter.mishap = () => ({
    edit: (body) => body.replace('"filter":{"supported":true', '"filter":{"supported":false'),
  })
  const ignoresFilter = await startUnreliable(t, server.url)
  ignoresFilter.mishap = (request) => {
    request.path = request.path.replace(/filter=[^&]*/, '')
    return undefined
  }
  const moved = await startUnreliable(t, server.url)
  moved.mishap = () => ({ answer: { status: 301, headers: { location: server.url } } })
  const other = await startUnreliable(t, server.url)
  other.mishap = () => ({ answer: { status: 200, body: '{"schemas": []}' } })
  const down = await startUnreliable(t, server.url)
  down.mishap = () => ({ answer: { status: 502 } })
  const cases: Record<string, [members: object, failure: string, detail: RegExp]> = {
    'wrong-token': [{ key: 'another' }, 'unauthorized', /401.*key is wrong/],
    'no-token': [{ key: undefined }, 'unauthorized', /401/],
    'wrong-url': [{ url: server.url.replace('/v2', '/v3') }, 'refused', /^url: .*ServiceProviderConfig.* 404/],
    'not-scim': [{ url: service.url }, 'refused', /^url: .*no SCIM/],
    'other-json': [{ url: other.url }, 'not_understood', /^url: .*no SCIM/],
    'no-server': [{ url: 'http://127.0.0.1:9/scim' }, 'unreachable', /ECONNREFUSED/],
    'unknown-certificate': [
      { url: await startTls(t) },
      'unreachable',
      /certificate is not trusted; NODE_EXTRA_CA_CERTS/,
    ],
    'no-tls': [{ url: server.url.replace('http:', 'https:') }, 'unreachable', /does not speak TLS/],
    'no-filter': [{ url: noFilter.url }, 'refused', /has no filters/],
    'ignores-filter': [{ url: ignoresFilter.url }, 'refused', /ignores filters/],
    moved: [{ url: moved.url }, 'not_understood', /redirection/],
    down: [{ url: down.url }, 'server_error', /502/],
  }
  for (const [name, [members, failure, detail]] of Object.entries(cases)) {
    const began = performance.now()
    t.equal((await create({ name, kind: 'scim', url: server.url, key: TOKEN, preset: 'user', ...members })).status, 201)
    t.match(await sync(name), { status: 'failed', failure, detail, added_count: 0 }, name)
    t.ok(performance.now() - began < 5_000, `${name}: in ${Math.round(performance.now() - began)} ms`)
  }
  t.strictSame(server.users(), before)
  t.notOk(log.some((line) => line.includes(TOKEN)))
})

t.test('a server that does not keep externalId gets no user', async (t) => {
  const drops = await startUnreliable(t, server.url)
  drops.mishap = (request) => {
    if (request.method !== 'GET') request.body = request.body.replaceAll('"externalId"', '"nickName"')
    return undefined
  }
  await create({ name: 'drops', kind: 'scim', url: drops.url, key: TOKEN, preset: 'user' })
  t.match(await sync('drops'), { status: 'failed', failure: 'refused', detail: /does not keep the externalId/ })
  t.strictSame(server.users(), before)
})

t.test('a server that shows a new user late gets all users', async (t) => {
  const lags = await startUnreliable(t, server.url)
  let hidden = 0
  lags.mishap = ({ method, path }) =>
    method === 'GET' && /\/Users\/[^?]+$/.test(path) && ++hidden < 3 ? { answer: { status: 404 } } : undefined
  await create({ name: 'lags', kind: 'scim', url: lags.url, key: TOKEN, preset: 'user' })
  t.match(await sync('lags'), { status: 'succeeded', failure: null })
  t.equal(hidden, 3)
  lags.mishap = ({ method, path }) => {
    if (method === 'GET' && /\/Users\/[^?]+$/.test(path)) return { answer: { status: 404 } }
    return method === 'GET' && path.includes('/Users?')
      ? { answer: { status: 200, body: '{"totalResults": 0, "Resources": []}' } }
      : undefined
  }
  await sql`update users set role = 'vip' where username = (select min(username) from users)`
  t.match(await sync('lags'), { status: 'succeeded', updated_count: 1 }, 'one that it does not show yet is changed')
  t.match(await clear('lags'), { status: 'succeeded', deleted_count: 12 })
  t.strictSame(server.users(), before, 'those that it does not show yet are removed')
})

t.test('passwords are sent, but not shown; a user without one is refused', async (t) => {
  const members = {
    kind: 'scim',
    url: server.url,
    key: TOKEN,
    preset: 'user',
    mapping: { password: { $member: 'password' } },
  }
  t.match(await create({ name: 'login', ...members }), { status: 201 })
  const password = 'S3cret-of-the-users'
  await batch(3, { username_pattern: 'p{id}@example.com', password })
  await call('POST', '/v1/users/import', { body: [{ username: 'i@example.com', email: 'i@example.com' }] })
  const dry = await call('POST', '/v1/sync', { body: { target: 'login', dry_run: true } })
  t.match(dry, {
    json: { added_count: 16, users: [{ operation: 'create', resource: { password: '(hidden)', active: true } }] },
  })
  t.notOk(JSON.stringify(dry.json).includes(password))
  t.match(await sync('login'), { status: 'failed', failure: 'users_refused', added_count: 15 })
  t.match(await failures('login'), [{ username: 'i@example.com', code: 'credential_missing' }])
  const logIn = async (username: string, password: string) => {
    const headers = { 'content-type': 'application/json' }
    const url = server.url.replace('/scim/v2', '/login')
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify({ username, password }) })).status
  }
  const [user] = await sql<{ username: string }[]>`select username from users where username like 'p%' limit 1`
  t.equal(await logIn(user?.username ?? '', password), 204)
  t.equal(await logIn(user?.username ?? '', 'another'), 401)
  await sql`update users set email = 'new' || email where username like 'p%'`
  await sync('login')
  t.equal(await logIn(user?.username ?? '', password), 204, 'also after a change')
  t.notOk(log.some((line) => line.includes(password)))
  t.match(await clear('login'), { status: 'succeeded', deleted_count: 15 })
  t.strictSame(server.users(), before)
})
