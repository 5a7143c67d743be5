import Fastify from 'fastify'
import { authentication, authorization, requireScope } from '../../src/auth/authentication.ts'
import { parseApiKeys, SCOPES, scopesIn } from '../../src/config/api-keys.ts'
import { isLoopback } from '../../src/config/config.ts'
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

/** A colon would begin a parameter. */
const pathOf = (scope: string) => `/${scope.replace(':', '-')}`

/** An app with a route for each scope and an open one; each answers the scopes that the request holds. */
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

t.test('reads keys', (t) => {
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
  t.notOk(JSON.stringify(keys).includes('secret-of'), 'the secret is not kept')
  t.strictSame(parseApiKeys(''), [])
  t.equal(parseApiKeys(`a=users:read=${'='.repeat(32)}`).length, 1, 'a secret may hold =')
  t.end()
})

t.test('a scope may name the pool that it holds in', (t) => {
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

t.test('refuses faulty keys without telling their secrets', (t) => {
  const secret = secretOf('any')
  const faulty = {
    'no scope': `a=${secret}`,
    'empty scope': `a==${secret}`,
    'unknown scope': `a=users:delete=${secret}`,
    'admin of a pool': `a=admin@shop=${secret}`,
    'admin of a pool beside another scope': `a=users:read@shop+admin@shop=${secret}`,
    'a pool without a name': `a=users:read@=${secret}`,
    'a pool with a name that none can have': `a=users:read@Shop=${secret}`,
    'an unknown scope of a pool': `a=users:delete@shop=${secret}`,
    'no name': `=users:read=${secret}`,
    'name with a space': `a b=users:read=${secret}`,
    '31 characters': `a=users:read=${'x'.repeat(31)}`,
    'whitespace in the secret': `a=users:read=${secret} ${secret}`,
    'a line break in the secret': `a=users:read=${secret}\nb=users:read=${secret}2`,
    'a letter beyond ASCII': `a=users:read=${secret}é`,
    'a control character': `a=users:read=${secret}\u007f`,
    'a secret twice': `a=users:read=${secret},b=users:write=${secret}`,
    'a name twice': `a=users:read=${secret},a=users:write=${secret}2`,
    'a comma too many': `a=users:read=${secret},`,
  }
  for (const [what, text] of Object.entries(faulty)) {
    const error = t.throws(() => parseApiKeys(text), what) as Error
    t.notMatch(error.message, secret, what)
  }
  t.end()
})

t.test('knows the addresses that only this machine reaches', (t) => {
  for (const host of ['127.0.0.1', '127.255.0.3', '::1', 'localhost']) t.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '128.0.0.1', '127.0.0.1.example.com', 'localhost.example.com', '']) {
    t.notOk(isLoopback(host), host)
  }
  t.end()
})

t.test('each key opens the routes of its scopes, and no other', async (t) => {
  const app = await appWith(KEYS)
  const scopes: Record<string, readonly string[]> = {
    reader: ['users:read'],
    writer: ['users:read', 'users:write'],
    teller: ['credentials:read'],
    root: SCOPES,
  }
  for (const [name, held] of Object.entries(scopes)) {
    for (const scope of SCOPES) {
      const headers = { authorization: `Bearer ${secretOf(name)}` }
      const response = await app.inject({ url: pathOf(scope), headers })
      if (held.includes(scope)) t.strictSame(response.json(), [...held].sort(), `${name} at ${scope}`)
      else t.match(response.json(), { status: 403, code: 'forbidden' }, `${name} at ${scope}`)
    }
  }
})

t.test('no key and a wrong key are told how to come in', async (t) => {
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
    t.strictSame((await app.inject({ url: '/open', headers })).json(), [], 'an open route answers')
  }
  const lower = await app.inject({ url: '/admin', headers: { authorization: `bearer ${secretOf('root')}` } })
  t.equal(lower.statusCode, 200, 'the scheme’s name may be written in any case')
})

t.test('a parameter may need more than its route', async (t) => {
  const app = await appWith(KEYS)
  const at = (name: string) => app.inject({ url: '/more', headers: { authorization: `Bearer ${secretOf(name)}` } })
  t.match((await at('reader')).json(), { status: 403, code: 'forbidden', detail: /more=true.*admin/ })
  t.equal((await at('root')).statusCode, 200)
})

t.test('without any key everything is open', async (t) => {
  const app = await appWith('')
  for (const scope of SCOPES) t.equal((await app.inject(pathOf(scope))).statusCode, 200, scope)
})
