import { suite } from '../suite.ts'
import { startLoginSystem } from './login-system.ts'
import { sinkRoutes, sinkService, startSystem } from './sink.ts'
import { DJANGO } from './systems.ts'

const t = suite()

/* After a run, some users log in to the system for real. */

const ITERATIONS = 1_000
const service = await sinkService(t)
const { call, log } = service
const system = await startSystem(t, DJANGO)
const { url, bodies } = await startLoginSystem(t, system.sql, ITERATIONS)
const { create, sync, batch } = sinkRoutes(service)
const PASSWORD = 'canary-secret-7'

const FORM = { kind: 'form', url: `${url}/login/`, fields: { user: '{username}', pass: '{password}' } }
const JSON_LOGIN = { kind: 'json', url: `${url}/json`, body: { login: { name: '{username}', secret: '{password}' } } }
const OIDC = { kind: 'oidc_password', url: `${url}/token`, client_id: 'app' }

await create({ name: 's', url: system.url, preset: 'django' })

/** Users with hashes of these iterations, and a run that sends them. */
async function run(canary: object | null, iterations: number, password = PASSWORD) {
  await call('PATCH', '/v1/targets/s', { body: { canary } })
  const password_hash = { algorithm: 'pbkdf2_sha256', iterations }
  await batch(5, { username_pattern: 'u{id}@example.com', password, password_hash })
  return await sync('s')
}

t.test('users log in by a form, by JSON and by a token endpoint, and the run says how long it took', async (t) => {
  for (const canary of [FORM, JSON_LOGIN, OIDC, { kind: 'sql_hash' }]) {
    const result = await run({ ...canary, users: 2 }, ITERATIONS)
    const expected = { ok: true, users: 2, rehash_suspected: false, failures: [] }
    t.match(result, { status: 'succeeded', canary: expected }, canary.kind)
    const isLogin = canary.kind !== 'sql_hash'
    t.equal((result.canary?.first_login_ms ?? 0) > 0, isLogin)
    t.equal((result.canary?.second_login_ms ?? 0) > 0, isLogin)
  }
})

t.test('a hash of another cost is hashed again at the login, and the run says so', async (t) => {
  const result = await run(FORM, ITERATIONS * 2)
  t.match(result, { status: 'succeeded', canary: { ok: true, users: 3, rehash_suspected: true } })
})

t.test('a form may lead anywhere after the login, also to what is no URL', async (t) => {
  t.match(await run({ ...FORM, url: `${url}/broken/` }, ITERATIONS), { status: 'succeeded', canary: { ok: true } })
})

t.test('a login that fails is a failure of the run, without the password', async (t) => {
  await call('PATCH', '/v1/targets/s', { body: { canary: null } })
  const cases: [object, RegExp][] = [
    [{ ...FORM, fields: { user: '{username}', pass: 'x{password}' } }, /shows the form again/],
    [{ ...FORM, fields: { user: '{username}', pin: '{password}' } }, /no form with the fields pin, user/],
    [{ ...FORM, url: `${url}/nowhere` }, /page of the form answers with status 401/],
    [{ ...JSON_LOGIN, body: { login: { name: '{email}', secret: 'no' } } }, /status 401/],
    [{ ...OIDC, client_id: 'other' }, /status 401/],
    [{ ...OIDC, url: 'http://127.0.0.1:1/token' }, /ECONNREFUSED/],
  ]
  for (const [canary, detail] of cases) {
    const result = await run(canary, ITERATIONS)
    t.match(result, { status: 'failed', failure: 'canary_failed', canary: { ok: false, users: 3 } })
    t.match(result.canary?.failures, Array(3).fill({ username: /^u\d+@example.com$/, detail }), String(detail))
    t.notMatch(JSON.stringify(result), PASSWORD)
  }
  t.notOk(log.some((line) => line.includes('target not in sync')))
  t.equal(log.filter((line) => line.includes('"msg":"canary failed"')).length, cases.length)
  t.equal((await sync('s')).failure, null, 'a run that sends nothing logs nobody in')
  t.ok(bodies.some((body) => body.includes(PASSWORD)))
  t.notMatch(log.join(''), PASSWORD)
})

t.test('faults of a canary are listed with their paths', async (t) => {
  const faults: [object, string][] = [
    [{ kind: 'telnet' }, 'body.canary.kind'],
    [{ kind: 'form' }, 'body.canary.url'],
    [{ ...FORM, url: 'http://example.com/login' }, 'body.canary.url'],
    [{ ...FORM, url: 'http://u:p@127.0.0.1/login' }, 'body.canary.url'],
    [{ ...FORM, url: 'file:///etc/passwd' }, 'body.canary.url'],
    [{ ...FORM, users: 11 }, 'body.canary.users'],
    [{ ...FORM, fields: { user: '{username}', pass: '{pasword}' } }, 'body.canary.fields'],
    [{ ...JSON_LOGIN, body: { login: { name: ['{id}'] } } }, 'body.canary.body'],
    [{ ...OIDC, client_id: undefined }, 'body.canary.client_id'],
    [{ ...OIDC, client_secret: 'x' }, 'body.canary.client_secret'],
  ]
  for (const [canary, path] of faults) {
    const answer = await create({ name: 'wrong', url: system.url, preset: 'django', canary })
    t.match(answer, { status: 400, json: { errors: [{ path }] } }, `${path} ${JSON.stringify(canary)}`)
  }
  t.match(await call('POST', '/v1/targets', { body: { name: 'wrong', url: 'http://127.0.0.1:9', canary: FORM } }), {
    status: 400,
    json: { errors: [{ path: 'body.canary' }] },
  })
})
