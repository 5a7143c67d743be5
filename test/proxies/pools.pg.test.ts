import type { IncomingMessage } from 'node:http'
import { examplePath } from '../http/example-path.ts'
import { resolveReferences } from '../http/resolve-references.ts'
import type { Service } from '../http/service.ts'
import { suite } from '../suite.ts'
import { startDeployments } from './deployments.ts'
import { NO_NJS } from './nginx.ts'

const t = suite()

/* Which deployment gets a request through docs/nginx-pools.conf. Pools whose name begins with `there` are in the second one. */

interface Operation {
  requestBody?: { content: Record<string, { schema?: { properties?: object } }> }
  parameters?: { in: string; name: string; schema?: { enum?: unknown[] } }[]
}

t.test('nginx finds the deployment of every request', { skip: NO_NJS }, async (t) => {
  const { first, second, nginx } = await startDeployments(t, '~^there second;\n')
  const description = resolveReferences((await first.call<Description>('GET', '/openapi.json')).json)
  interface Description {
    paths: Record<string, Record<string, Operation>>
  }

  /** Where requests have arrived since the last look. */
  let arrived: string[] = []
  const record = (name: string, { app }: Service) =>
    app.server.on('request', ({ method, url }: IncomingMessage) => arrived.push(`${name} ${method} ${url}`))
  record('first', first)
  record('second', second)
  const send = async (method: string, path: string, body?: string, type = 'application/json') => {
    arrived = []
    const response = await fetch(nginx.url + path, { method, ...(body && { body, headers: { 'content-type': type } }) })
    await response.body?.cancel()
    return arrived
  }

  await t.test('every route by the pool in its query or its body', async (t) => {
    let [inQuery, inBody] = [0, 0]
    for (const [template, operations] of Object.entries(description.paths)) {
      const path = examplePath(template)
      for (const [name, { parameters = [], requestBody }] of Object.entries(operations)) {
        const method = name.toUpperCase()
        if (parameters.some((parameter) => parameter.in === 'query' && parameter.name === 'pool')) {
          inQuery++
          for (const [pool, deployment] of [
            ['there', 'second'],
            ['here', 'first'],
          ])
            t.strictSame(await send(method, `${path}?limit=x&pool=${pool}`), [
              `${deployment} ${method} ${path}?limit=x&pool=${pool}`,
            ])
        }
        const hasPool = Object.keys(requestBody?.content['application/json']?.schema?.properties ?? {}).includes('pool')
        if (!hasPool) continue
        inBody++
        const body = (pool: string) => JSON.stringify({ config: { pool: 'there' }, pool, unknown: 'x' })
        t.strictSame(await send(method, path, body('there')), [`second ${method} ${path}`])
        t.strictSame(await send(method, path, body('here')), [`first ${method} ${path}`])
        t.strictSame(await send(method, `${path}?pool=here`, body('there')), [`first ${method} ${path}?pool=here`])
      }
    }
    t.ok(inQuery > 50 && inBody > 12, `${inQuery} routes with the pool in the query, ${inBody} in the body`)
  })

  await t.test('pools by their name, files of the Simple Table Server, and what has no pool', async (t) => {
    const at = async (deployment: string, method: string, path: string, body?: string, type?: string) =>
      t.strictSame(await send(method, path, body, type), [`${deployment} ${method} ${path}`])
    const form = 'application/x-www-form-urlencoded'
    await at('second', 'POST', '/v1/pools', '{"name": "there"}')
    await at('first', 'POST', '/v1/pools', '{"name": "here"}')
    for (const method of ['GET', 'PATCH', 'DELETE']) await at('second', method, '/v1/pools/there-is-none')
    await at('second', 'GET', '/sts/READ?FILENAME=There.csv')
    await at('second', 'POST', '/sts/READ', 'READ_MODE=FIRST&FILENAME=THERE.CSV', form)
    await at('second', 'POST', '/sts/ADD', 'LINE=a&pool=there', form)
    await at('second', 'GET', '/v1/users?pool=t%68ere')
    for (const path of [
      '/livez',
      '/readyz',
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/ui/',
      '/v1/me',
      '/v1/pools',
      '/v1/users',
    ])
      await at('first', 'GET', path)
    await at('first', 'POST', '/v1/batches', '{"pool": "there"')
    await at('first', 'POST', '/v1/batches', '{"pool": ["there"]}')
    await at('first', 'POST', '/v1/batches', 'null')
    await at('first', 'POST', '/v1/batches')
    await at('first', 'POST', '/v1/users/import', JSON.stringify([{ pool: 'there' }]))
  })

  await t.test('a large body arrives as it is', async (t) => {
    const users = Array.from({ length: 30_000 }, (_, n) => `{"username": "user${n}@example.com"}`).join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    const address = `${nginx.url}/v1/users/import?pool=there`
    const response = await fetch(address, { method: 'POST', body: users, headers })
    t.match(await response.json(), { created_count: 30_000 })
    const config = { custom_attributes: { text: 'é'.repeat(10_000) } }
    const templates = Array.from({ length: 80 }, (_, n) => ({ name: `large-${n}`, config }))
    const imported = await fetch(`${nginx.url}/v1/templates/import`, {
      method: 'POST',
      body: JSON.stringify({ templates, pool: 'there' }),
      headers: { 'content-type': 'application/json' },
    })
    t.equal(imported.status, 200)
    t.match((await second.call('GET', '/v1/templates/large-79?pool=there')).json, { config })
  })
})
