import Fastify from 'fastify'
import { authentication, authorization, requireScope } from '../../src/auth/authentication.ts'
import { parseApiKeys, SCOPES, scopesIn } from '../../src/config/api-keys.ts'
import { isLoopback } from '../../src/config/loopback.ts'
import { errorResponses } from '../../src/http/error-responses.ts'
import { suite } from '../suite.ts'

const t = suite()

const secretOf = (name: string) => `${name}-s3cret-of-32-characters-or-more`
const KEYS = [
  `reader=users:read=${secretOf('reader')}`,
  `writer=users:read+users:write=${secretOf('writer')}`,
  `teller=credentials:read=${secretOf('teller')}`,
  `root=admin=${secretOf('root')}`,
].join(',')

/** The path of a scope, without the colon, which would start a parameter. */
const pathOf = (scope: string) => `/${scope.replace(':', '-')}`

/** An app with a route for each scope and an open one. Each returns the scopes of the request. */
async function appWith(apiKeys: string) {
  const app = Fastify()
  await app.register(errorResponses)
  const keys = parseApiKeys(apiKeys)
  await app.register(authentication, { keyring: keys.length > 0 ? { keys: () => keys, stop: () => {} } : undefined })
  await app.register(authorization)
  for (const scope of SCOPES) app.get(pathOf(scope), { config: { scope } }, (request) => [...request.scopes].sort())
  app.get('/open', (request) => [...request.scopes].sort())
  app.get('/more', { config: { scope: 'users:read' } }, (request) => {
    requireScope(request, 'admin', 'more=true')
    return 'ok'
  })
  return app
}

t.test('parseApiKeys reads names, scopes and secrets', (t) => {
  const keys = parseApiKeys(KEYS)
  t.strictSame(
    keys.map(({ name, scopes }) => [name, ...scopes]),
    [
      ['reader', 'users:read'],
      ['writer', 'users:read', 'users:write'],
      ['teller', 'credentials:read'],
      ['root', ...SCOPES],
    ],
  )
  t.notOk(JSON.stringify(keys).includes('secret-of'), 'the secret is not stored')
  t.strictSame(parseApiKeys(''), [])
  t.equal(parseApiKeys(`a=users:read=${'='.repeat(32)}`).length, 1, 'a secret may contain =')
  t.end()
})

t.test('a scope can be limited to a pool', (t) => {
  const scopes = 'users:read+users:write@shop+users:write@crm+credentials:read@shop'
  const [key] = parseApiKeys(`bound=${scopes}=${secretOf('bound')}`)
  const inPool = (pool: string) => key && [...scopesIn(key, pool)]
  t.strictSame(inPool('shop'), ['users:read', 'users:write', 'credentials:read'])
  t.strictSame(inPool('crm'), ['users:read', 'users:write'])
  t.strictSame(inPool('default'), ['users:read'])
  const [narrow] = parseApiKeys(`narrow=users:read@shop=${secretOf('narrow')}`)
  t.strictSame(narrow && [...scopesIn(narrow, 'default')], [])
  t.end()
})

t.test('invalid keys are rejected without revealing their secrets', (t) => {
  const secret = secretOf('any')
  const faulty = {
    'no scope': `a=${secret}`,
    'empty scope': `a==${secret}`,
    'unknown scope': `a=users:delete=${secret}`,
    'admin of a pool': `a=admin@shop=${secret}`,
    'admin of a pool next to another scope': `a=users:read@shop+admin@shop=${secret}`,
    'a pool without a name': `a=users:read@=${secret}`,
    'a pool with an invalid name': `a=users:read@Shop=${secret}`,
    'an unknown scope of a pool': `a=users:delete@shop=${secret}`,
    'no name': `=users:read=${secret}`,
    'name with a space': `a b=users:read=${secret}`,
    '31 characters': `a=users:read=${'x'.repeat(31)}`,
    'whitespace in the secret': `a=users:read=${secret} ${secret}`,
    'a line break in the secret': `a=users:read=${secret}\nb=users:read=${secret}2`,
    'a letter that is not ASCII': `a=users:read=${secret}é`,
    'a control character': `a=users:read=${secret}\u007f`,
    'a duplicate secret': `a=users:read=${secret},b=users:write=${secret}`,
    'a duplicate name': `a=users:read=${secret},a=users:write=${secret}2`,
    'an extra comma': `a=users:read=${secret},`,
  }
  for (const [what, text] of Object.entries(faulty)) {
    const error = t.throws(() => parseApiKeys(text), what) as Error
    t.notMatch(error.message, secret, what)
  }
  t.end()
})

t.test('isLoopback recognizes the addresses that only this machine can reach', (t) => {
  for (const host of ['127.0.0.1', '127.255.0.3', '::1', 'localhost']) t.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '128.0.0.1', '127.0.0.1.example.com', 'localhost.example.com', '']) {
    t.notOk(isLoopback(host), host)
  }
  t.end()
})

t.test('each key gives access to the routes of its scopes, and to no others', async (t) => {
  const app = await appWith(KEYS)
  const scopes: Record<string, readonly string[]> = {
    reader: ['users:read'],
    writer: ['users:read', 'users:write'],
    teller: ['credentials:read'],
    root: SCOPES,
  }
  for (const [name, scopesOfKey] of Object.entries(scopes)) {
    for (const scope of SCOPES) {
      const headers = { authorization: `Bearer ${secretOf(name)}` }
      const response = await app.inject({ url: pathOf(scope), headers })
      if (scopesOfKey.includes(scope)) t.strictSame(response.json(), [...scopesOfKey].sort(), `${name} at ${scope}`)
      else t.match(response.json(), { status: 403, code: 'forbidden' }, `${name} at ${scope}`)
    }
  }
})

t.test('a missing or wrong key gets 401 with WWW-Authenticate', async (t) => {
  const app = await appWith(KEYS)
  const basic = Buffer.from(`root:${secretOf('root')}`).toString('base64')
  const wrong = [
    undefined,
    '',
    'Bearer',
    `Bearer ${secretOf('root')}x`,
    `Basic ${basic}`,
    secretOf('root'),
    'Bearer a b',
  ]
  for (const authorization of wrong) {
    const headers = authorization === undefined ? {} : { authorization }
    const response = await app.inject({ url: '/users-read', headers })
    t.match(response.json(), { status: 401, code: 'unauthorized' }, `${authorization}`)
    t.match(response.headers['www-authenticate'], /^Bearer /, `${authorization}`)
    t.strictSame((await app.inject({ url: '/open', headers })).json(), [], 'an open route needs no key')
  }
  const lower = await app.inject({ url: '/admin', headers: { authorization: `bearer ${secretOf('root')}` } })
  t.equal(lower.statusCode, 200, 'the scheme is case-insensitive')
})

t.test('a parameter can require another scope than its route', async (t) => {
  const app = await appWith(KEYS)
  const at = (name: string) => app.inject({ url: '/more', headers: { authorization: `Bearer ${secretOf(name)}` } })
  t.match((await at('reader')).json(), { status: 403, code: 'forbidden', detail: /more=true.*admin/ })
  t.equal((await at('root')).statusCode, 200)
})

t.test('without any configured key, everything is open', async (t) => {
  const app = await appWith('')
  for (const scope of SCOPES) t.equal((await app.inject(pathOf(scope))).statusCode, 200, scope)
})
