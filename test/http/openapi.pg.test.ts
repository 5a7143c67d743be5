import { setTimeout as sleep } from 'node:timers/promises'
import { testDatabase } from '../database.ts'
import { startProxy } from '../database-proxy.ts'
import { suite } from '../suite.ts'
import OPERATIONS from './operations.json' with { type: 'json' }
import { startService } from './service.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/* The service's documentation and health routes. */

const { call } = await sharedService(t)

interface Operation {
  operationId?: string
  summary?: string
  tags?: string[]
  responses?: Record<string, unknown>
}

t.test('the description is OpenAPI 3.1 and contains every route', async (t) => {
  const { status, headers, json } = await call<{ openapi: string; paths: Record<string, Record<string, Operation>> }>(
    'GET',
    '/openapi.json',
  )
  t.match({ status, type: headers['content-type'] }, { status: 200, type: /^application\/json/ })
  t.match(json, {
    openapi: /^3\.1\./,
    info: { title: 'usersync', version: /^\d+\.\d+\.\d+$/ },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
  })
  const ids = Object.entries(json.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { operationId }]) => [operationId, `${method.toUpperCase()} ${path}`]),
  )
  t.equal(new Set(ids.map(([id]) => id)).size, ids.length, 'the operation ids are unique')
  t.strictSame(Object.fromEntries(ids), OPERATIONS, 'the ids are those of operations.json: clients use them as names')
  for (const [path, operations] of Object.entries(json.paths)) {
    for (const [method, { summary, tags }] of Object.entries(operations)) {
      t.ok(summary && tags?.length, `${method} ${path} has a summary and a tag`)
      const { status } = await call(method.toUpperCase(), path.replace(/\{\w+\}/g, 'x'))
      t.ok(![404, 405, 500].includes(status) || path.includes('/{name}'), `${method} ${path} exists: ${status}`)
    }
  }
})

t.test('/docs shows the description, also behind a proxy that adds a path', async (t) => {
  t.match(await call('GET', '/docs'), { status: 302, headers: { location: 'docs/' } })
  const page = await call('GET', '/docs/')
  t.match(page, { status: 200, headers: { 'content-type': /^text\/html/ } })
  const addresses = [...page.raw.toString().matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = '']) => address)
  t.ok(addresses.length > 4)
  for (const address of addresses) {
    t.match(address, /^\.\//)
    t.match(await call('GET', new URL(address, 'http://x/docs/').pathname), { status: 200 }, address)
  }
  const read = (path: string) => call<{ servers: object[] }>('GET', path)
  const [one, other] = [await read('/openapi.json'), await read('/docs/json')]
  t.match(other.json.servers, [{ url: '..' }], 'relative to /docs/json')
  t.strictSame({ ...other.json, servers: [] }, { ...one.json, servers: [] }, 'otherwise it is the same description')
})

t.test('no response can be read as another type, or shown in a frame', async (t) => {
  for (const path of ['/docs/', '/docs/json', '/openapi.json', '/livez', '/v1/users', '/v1/users/export', '/nothing']) {
    const { headers } = await call('GET', path)
    t.match(headers, { 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' }, path)
  }
  const { headers } = await call('GET', '/docs/')
  t.match(headers['content-security-policy'], /default-src 'self'.*frame-ancestors 'none'.*script-src 'self'/)
})

t.test('the health routes respond when everything works', async (t) => {
  t.match(await call('GET', '/livez'), { status: 200, json: { status: 'live' } })
  for (const path of ['/readyz', '/healthz']) {
    t.match(await call('GET', path), { status: 200, json: { status: 'ready', reasons: [] } }, path)
  }
})

t.test('without its database the service is live but not ready, and it recovers', async (t) => {
  const url = new URL(await testDatabase())
  const proxy = await startProxy(t, Number(url.port))
  url.port = String(proxy.port)
  const service = await startService(t, { MAX_WORKERS: '1', DATABASE_URL: url.href })
  t.equal((await service.call('GET', '/readyz')).status, 200)

  await proxy.cut()
  t.equal((await service.call('GET', '/livez')).status, 200)
  for (const path of ['/readyz', '/healthz']) {
    const { status, json, headers } = await service.call('GET', path)
    t.match({ status, json }, { status: 503, json: { status: 'not_ready', reasons: ['database'] } }, path)
    t.match(headers['retry-after'], /^\d+$/)
  }
  for (const path of ['/v1/users', '/v1/users/export', '/v1/batches', '/v1/pools', '/v1/states/current']) {
    const { status, json, headers } = await service.call('GET', path)
    t.match({ status, json }, { status: 503, json: { code: 'database_unavailable' } }, path)
    t.match(headers['retry-after'], /^\d+$/, path)
  }
  await proxy.restore()
  let status = 0
  for (let i = 0; i < 100 && status !== 200; i++) {
    await sleep(50)
    status = (await service.call('GET', '/readyz')).status
  }
  t.equal(status, 200)
  const made = await service.call('POST', '/v1/batches', { body: { count: 3 }, headers: { prefer: 'wait=20' } })
  t.match(made, { status: 201, json: { status: 'completed', created_count: 3 } }, 'batches work')
  const secret = decodeURIComponent(url.password)
  t.notOk(
    service.log.some((line) => line.includes(secret)),
    'the database password is not logged',
  )
})
