import { type ApiKey, parseApiKeys, scopesIn } from '../../src/config/api-keys.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'
import { as, SCOPES, WITH_KEYS } from './keys.ts'
import { type Planted, POOLS, plant, REPLICAS } from './planted.ts'
import { resolveReferences } from './resolve-references.ts'
import type { Request } from './service.ts'
import { sharedService } from './shared-service.ts'

const t = suite()

/*
 * What each kind of key can read and change, on every route of the description and in every pool. A route that this
 * test cannot call fails. These were tried, and fail here: GET /v1/replica/users without a check of scopes; a pool that
 * the hook reads only from the query; verify, status and runs of a target of all users for `users:read`.
 */

const NAMES = ['maker', 'logins', 'shop-writer', 'shop-lessee', 'root']
/** Their scopes are among those of the others. */
const AMONG_OTHERS = ['reader', 'shop-reader', 'lessee']
const names = sized(NAMES, [...NAMES, ...AMONG_OTHERS])
const keys = parseApiKeys(WITH_KEYS.API_KEYS)
  .filter(({ name }) => names.includes(name))
  .toReversed() // root last: it deletes most

const service = await sharedService(t, WITH_KEYS)
const { app, call, sql } = service
await call('POST', '/v1/pools', { headers: as('root'), body: { name: 'sink', replica: 'everything' } })

interface Described {
  parameters?: { name: string; in: string }[]
  requestBody?: { content: Record<string, { schema?: { properties?: object } }> }
}
const { paths } = resolveReferences(app.swagger()) as unknown as { paths: Record<string, Record<string, Described>> }
const ORDER = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
/** Reads first and deletes last; pools at the end, because a replica rejects writes. */
const rank = (method: string, path: string) => ORDER.indexOf(method) + (path.startsWith('/v1/pools') ? 10 : 0)
const routes = Object.entries(paths)
  .flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ path, described, method: method.toUpperCase() })),
  )
  .filter(({ method }) => method !== 'HEAD')
  .toSorted((a, b) => rank(a.method, a.path) - rank(b.method, b.path))

const NDJSON = { 'content-type': 'application/x-ndjson' }
const config = { password_hash: { algorithm: 'none' } }

/** The body for each route; several if its content matters. */
const BODIES: Record<string, (planted: Planted) => Request[]> = {
  'POST /v1/pools': ({ pool }) => [{ body: { name: `beside-${pool}` } }],
  'PATCH /v1/pools/{name}': () => [{ body: { replica: 'none' } }],
  'POST /v1/templates': ({ pool }) => [{ body: { name: `new-${pool}`, config: {} } }],
  'PUT /v1/templates/{name}': () => [{ body: { config: {} } }],
  'POST /v1/templates/validate': () => [{ body: { config: {} } }],
  'POST /v1/templates/import': ({ pool }) => [{ body: { templates: [{ name: `taken-${pool}`, config: {} }] } }],
  'POST /v1/batches': ({ template }) => [{ body: { count: 1, template, config }, headers: { prefer: 'wait=30' } }],
  'POST /v1/batches/preview': ({ template }) => [{ body: { count: 1, template } }],
  'POST /v1/users/import': () => [{ body: '{"username":"imported@example.com"}\n', headers: NDJSON }],
  'PATCH /v1/users/{id}': () => [{ body: { role: 'changed' } }],
  'POST /v1/leases': ({ batch }) => [
    { body: { count: 1, partial: true } },
    { body: { filter: { batch_id: batch }, include: ['password', 'totp_code'] } },
  ],
  'POST /v1/leases/{id}/renew': ({ fence }) => [{ body: { fence } }],
  'POST /v1/leases/{id}/return': ({ fence }) => [{ body: { fence, outcome: 'dirty' } }],
  'POST /v1/leases/reset': () => [{ body: {} }],
  'POST /v1/lifecycle/expire': () => [{ body: { dry_run: true } }, { body: {} }],
  'POST /v1/targets': ({ pool }) => [{ body: { name: `new-${pool}`, url: 'http://127.0.0.1:9' } }],
  'PATCH /v1/targets/{name}': () => [{ body: { interval_seconds: 86_400 } }],
  'POST /v1/sync': ({ target }) => [{ body: { target } }],
  'POST /v1/sync/verify': ({ target, wideTarget }) => [{ body: { target } }, { body: { target: wideTarget } }],
  'PUT /v1/replica/users': ({ body }) => [{ body, headers: NDJSON }],
}

/** The values of path parameters. */
const NAMED: [prefix: string, names: (planted: Planted) => string[]][] = [
  ['/v1/users/{id}/totp', ({ batchUser, protectedUser }) => [batchUser, protectedUser]],
  ['/v1/exports/{base}/{state}', ({ ofPool }) => [`${ofPool.at(-1)}/${ofPool.at(-1)}`]],
  ['/v1/exports/{state}', ({ ofPool }) => [ofPool.at(-1) ?? '']],
  ['/v1/leases/{id}', ({ lease }) => [lease]],
  ['/v1/users/{id}', ({ testUser, protectedUser }) => [testUser, protectedUser]],
  ['/v1/batches/{id}', ({ batch }) => [batch]],
  ['/v1/sync/runs/{id}', ({ run }) => [run]],
  ['/v1/pools/{name}', ({ pool }) => [pool]],
  ['/v1/templates/{name}', ({ template }) => [template]],
  ['/v1/targets/{name}/', ({ sink }) => [sink]],
  ['/v1/targets/{name}', ({ target, wideTarget }) => [wideTarget, target]],
]

/** Query parameters with which a route returns more. */
const MORE: Record<string, (planted: Planted) => string> = {
  test_users_only: () => 'test_users_only=false',
  include: () => 'include=password,password_hash,totp_secret',
  batch_id: ({ batch }) => `batch_id=${batch}`,
  age_days: () => 'age_days=0',
  base: ({ ofPool }) => `base=${ofPool.at(-1)}`,
  COLUMNS: () => 'COLUMNS=username',
  LINE: ({ testUser }) => `COLUMNS=id&LINE=${testUser}`,
}

interface Sent {
  route: string
  path: string
  query: string[]
  request: Request
  /** Where the request names its pool. `none`: the route does not belong to one pool. */
  place: 'query' | 'body' | 'none'
}

function requestsOf({ method, path, described }: (typeof routes)[number], planted: Planted): Sent[] {
  const route = `${method} ${path}`
  const names = NAMED.find(([prefix]) => path.startsWith(prefix))?.[1](planted) ?? ['']
  const bodies = described.requestBody ? BODIES[route]?.(planted) : [{}]
  if (!bodies || (path.includes('{') && names[0] === '')) throw new Error(`no body is defined for ${route}`)
  const inQuery = (described.parameters ?? []).filter((parameter) => parameter.in === 'query').map(({ name }) => name)
  const queries = [[], ...inQuery.flatMap((name) => (MORE[name] ? [[MORE[name](planted)]] : []))]
  const inBody = 'pool' in (described.requestBody?.content['application/json']?.schema?.properties ?? {})
  const places = [
    ...(inQuery.includes('pool') && path !== '/sts/STATUS' ? ['query' as const] : ['none' as const]),
    ...(inBody ? ['body' as const] : []),
  ]
  return names.flatMap((name) =>
    bodies.flatMap((request) =>
      queries.flatMap((query) =>
        places.map((place) => ({ route, path: path.replace(/\{\w+\}(\/\{\w+\})?/, name), query, request, place })),
      ),
    ),
  )
}

const send = ({ route, path, query, request, place }: Sent, key: string, pool: string) => {
  const [method = ''] = route.split(' ')
  const isNamed = place === 'query' && (pool !== 'default' || path.startsWith('/sts/'))
  const all = [...query, ...(isNamed ? [`pool=${pool}`] : [])]
  const body = place === 'body' ? { ...(request.body as object), pool } : request.body
  const headers = { ...request.headers, ...as(key) }
  const sent = { headers, ...(body !== undefined && { body }) }
  return call<{ code?: string; instance?: string }>(method, `${path}?${all.join('&')}`, sent)
}

/** Whether a request succeeded. The Simple Table Server answers some errors with 200. */
const isDone = ({ status, raw }: { status: number; raw: Buffer }) =>
  status < 400 && !raw.toString('latin1', 0, 30).startsWith('<html><title>KO')

/** The content of a pool, except runs, which change in the background. */
async function contentOf(pool: string): Promise<unknown> {
  const tables = ['users', 'batches', 'templates', 'targets', 'lease_users', 'leases'] as const
  const [row] = await sql<{ id: number }[]>`select id from pools where name = ${pool}`
  const contents = tables.map(
    (table) =>
      sql`select md5(string_agg(r::text, ' ' order by r::text)) from ${sql(table)} r where pool_id = ${row?.id ?? 0}`,
  )
  return JSON.stringify([
    ...(await Promise.all(contents)),
    await sql`select name, replica_since, mirrors from pools where id = ${row?.id ?? 0}`,
  ])
}
const protectedUsers = () => sql`select u::text as line from users u where not is_test_user order by pool_id, id`

const reached = new Set<string>()

/**
 * In the small size, one pool of each kind: those that the key cannot see, and for each set of scopes, each kind of replica. To `admin`
 * nothing is hidden, so one pool shows whether its routes work.
 */
function poolsFor(key: ApiKey): string[] {
  if (!isFull && key.scopes.has('admin')) return ['default']
  const kindOf = (pool: string) => {
    const scopes = scopesIn(key, pool)
    return scopes.size === 0 ? 'hidden' : [...scopes, REPLICAS[pool]].join()
  }
  return sized([...new Map(POOLS.toReversed().map((pool) => [kindOf(pool), pool])).values()], [...POOLS])
}

for (const key of keys) {
  t.test(`a key with these scopes reads and changes only what they allow: ${SCOPES[key.name]}`, async (t) => {
    const planted = await Promise.all(poolsFor(key).map((pool) => plant(service, pool)))
    const before = await protectedUsers()
    const isAdmin = key.scopes.has('admin')
    const hidden = planted.flatMap(({ pool, ofAdmin, ofPool }) => [
      ...(isAdmin ? [] : ofAdmin),
      ...(scopesIn(key, pool).size > 0 ? [] : ofPool),
    ])
    for (const about of planted) {
      const { pool } = about
      const isHidden = scopesIn(key, pool).size === 0
      const content = isHidden && (await contentOf(pool))
      for (const route of routes) {
        for (const sent of requestsOf(route, about)) {
          const answer = await send(sent, key.name, pool)
          const text = answer.raw.toString() + JSON.stringify(answer.headers)
          const leaked = hidden.filter((each) => text.includes(each))
          const what = `${sent.route} ${sent.query} ${JSON.stringify(sent.request.body ?? '').slice(0, 80)} of ${pool}`
          if (leaked.length > 0) t.fail(`${what}: contains ${leaked}`)
          if (isDone(answer) || answer.json?.code === 'pool_in_use') reached.add(sent.route)
          if (!isHidden || sent.place === 'none') continue
          const nowhere = await send(sent, key.name, 'nowhere')
          const shown = ({ status, json, raw }: typeof answer) =>
            JSON.stringify([status, json ? { ...json, instance: '' } : raw.toString()])
          const same = shown(answer).replace(`pool ${pool}`, 'pool nowhere') === shown(nowhere)
          if (!same || isDone(answer)) t.fail(`${what} differs from a pool that does not exist: ${shown(answer)}`)
        }
      }
      if (isHidden) t.equal(await contentOf(pool), content, `${pool} is unchanged`)
    }
    if (!isAdmin) t.strictSame(await protectedUsers(), before, 'protected users are unchanged')
  })
}

t.test('a pool in a body that the route does not read is rejected, whatever the key may see', async (t) => {
  const { batch } = await plant(service, 'default')
  const answer = await call('POST', `/v1/batches/${batch}/cancel`, {
    headers: as('shop-writer'),
    body: { pool: 'shop' },
  })
  t.match(answer, { status: 400, json: { errors: [{ path: 'body.pool', code: 'unknown_member' }] } })
})

t.test('every route succeeded with some key', (t) => {
  t.strictSame(
    routes.map(({ method, path }) => `${method} ${path}`).filter((route) => !reached.has(route)),
    [],
  )
  t.end()
})
