import Fastify from 'fastify'
import { authentication } from '../../src/auth/authentication.ts'
import { readConfig } from '../../src/config/config.ts'
import { createExports } from '../../src/export/exports.ts'
import { replicaRoutes } from '../../src/replica/replica-routes.ts'
import { suite } from '../suite.ts'
import { makeUsers, startPair } from './pair.ts'

const t = suite()

t.test('HEAD returns the state without reading users', async (t) => {
  const { source } = await startPair(t)
  const { sql, call } = source
  await makeUsers(sql, 200)
  t.match(await call('PATCH', '/v1/pools/default', { body: { replica: 'everything' } }), { status: 200 })
  const exports = createExports({
    sql,
    encryptionKey: Buffer.alloc(32),
    concurrency: 1,
    waitMs: 1_000,
    cache: undefined,
  })
  let opened = 0
  const openDirect: typeof exports.openDirect = (request) => {
    opened++
    return exports.openDirect(request)
  }
  const app = Fastify()
  await app.register(authentication, { keyring: undefined })
  await app.register(replicaRoutes, { config: readConfig({}), sql, uploads: sql, exports: { ...exports, openDirect } })
  const [head, get] = [
    await app.inject({ method: 'HEAD', url: '/v1/replica/users' }),
    await app.inject({ method: 'GET', url: '/v1/replica/users' }),
  ]
  t.equal(opened, 1, 'only by GET')
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal(get.body.split('\n').length > 100, true)
  for (const name of ['etag', 'usersync-state', 'usersync-kind', 'content-type', 'cache-control']) {
    t.equal(head.headers[name], get.headers[name], name)
  }
  t.notOk('content-length' in head.headers)
  await app.close()
})
