import type { Batch } from '../../src/batches/batches.ts'
import { examplePath } from '../http/example-path.ts'
import { resolveReferences } from '../http/resolve-references.ts'
import { ROUTE_BODIES } from '../http/route-bodies.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { sql, call, app } = await sharedService(t)

interface Page {
  items: { name: string }[]
  next_cursor: string | null
}

const create = (name: string) => call('POST', '/v1/pools', { body: { name } })
const makeBatch = async (pool: string, count: number, headers: Record<string, string> = { prefer: 'wait=30' }) => {
  const body = { count, pool, config: { username_pattern: 'twin_{n}', password_hash: { algorithm: 'none' } } }
  return (await call<Batch>('POST', '/v1/batches', { body, headers })).json
}

t.test('a pool can be created, read, listed and deleted', async (t) => {
  const made = await create('shop-2.staging_eu')
  t.match(made, { status: 201, json: { name: 'shop-2.staging_eu', replica: 'none', created_at: /^\d{4}-.*\.\d{6}Z$/ } })
  t.equal(made.headers.location, '/v1/pools/shop-2.staging_eu')
  t.strictSame((await call('GET', made.headers.location ?? '')).json, made.json)
  t.match(await create('shop-2.staging_eu'), { status: 409, json: { code: 'pool_exists' } })
  const { status, raw } = await call('DELETE', '/v1/pools/shop-2.staging_eu')
  t.match({ status, length: raw.length }, { status: 204, length: 0 })
  const gone = { status: 404, json: { code: 'pool_not_found' } }
  t.match(await call('DELETE', '/v1/pools/shop-2.staging_eu'), gone)
  t.match(await call('GET', '/v1/pools/shop-2.staging_eu'), gone)
})

t.test('invalid pool names are rejected', async (t) => {
  for (const name of ['', 'A', '-a', 'a b', 'a/b', 'ä', 'x'.repeat(64), "a'", 5, null]) {
    t.match(
      await call('POST', '/v1/pools', { body: { name } }),
      { status: 400, json: { errors: [{ path: 'body.name' }] } },
      `${name}`,
    )
  }
  t.match(await call('POST', '/v1/pools', { body: { name: 'a', nmae: 'b' } }), { status: 400 })
  t.equal((await create('x'.repeat(63))).status, 201)
})

t.test('the list is ordered by name across pages', async (t) => {
  for (const name of ['b', 'a', 'c-1', 'c.1', 'c_1']) await create(name)
  const all = (await call<Page>('GET', '/v1/pools')).json.items.map(({ name }) => name)
  t.ok(all.includes('default'))
  t.strictSame(all, all.toSorted())
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const path: string = `/v1/pools?limit=2${cursor && `&cursor=${cursor}`}`
    const { items, next_cursor } = (await call<Page>('GET', path)).json
    seen.push(...items.map(({ name }) => name))
    cursor = next_cursor
  }
  t.strictSame(seen, all)
})

t.test('the default pool cannot be deleted', async (t) => {
  t.match(await call('DELETE', '/v1/pools/default'), { status: 409, json: { code: 'pool_in_use' } })
  t.equal((await call('GET', '/v1/pools/default')).status, 200)
})

t.test('a pool with a protected user or a running batch cannot be deleted', async (t) => {
  await create('used')
  await makeBatch('used', 5)
  const inUse = { status: 409, json: { code: 'pool_in_use' } }
  await sql`
    insert into users (pool_id, username, email, is_test_user) select id, 'real', 'real@shop.de', false from pools where name = 'used'`
  t.match(await call('DELETE', '/v1/pools/used'), inUse)
  const [row] =
    await sql`select count(*)::int as count from users u join pools p on p.id = u.pool_id where p.name = 'used'`
  t.same(row, { count: 6 }, 'no user was deleted')
  await sql`delete from users where username = 'real'`

  const body = {
    count: 20_000,
    pool: 'used',
    config: { chunk_size: 100, max_workers: 1, password_hash: { algorithm: 'none' } },
  }
  const batch = (await call<Batch>('POST', '/v1/batches', { body })).json
  t.match(await call('DELETE', '/v1/pools/used'), inUse)
  await call('DELETE', `/v1/batches/${batch.id}?pool=used`)
  t.equal((await call('DELETE', '/v1/pools/used')).status, 204)
  for (const table of [
    'users',
    'templates',
    'batches',
    'chunks',
    'failures',
    'credentials',
    'scopes',
    'states',
    'tombstones',
    'part_changes',
  ]) {
    const [left] =
      await sql`select count(*)::int as count from ${sql(table)} r where not exists (select from pools p where p.id = r.pool_id)`
    t.same(left, { count: 0 }, table)
  }
})

t.test('two pools with the same usernames are separate', async (t) => {
  for (const name of ['left', 'right']) await create(name)
  const [left, right] = [await makeBatch('left', 3), await makeBatch('right', 3)]
  t.match(
    [left, right],
    [
      { status: 'completed', created_count: 3 },
      { status: 'completed', created_count: 3 },
    ],
  )
  const idsIn = async (pool: string, query = '') => {
    const { json } = await call<{ users: { id: string; username: string }[] }>(
      'GET',
      `/v1/users/export?pool=${pool}${query}`,
    )
    t.strictSame(
      json.users.map(({ username }) => username),
      query ? [] : ['twin_1', 'twin_2', 'twin_3'],
    )
    return json.users.map(({ id }) => id)
  }
  const [ofLeft, ofRight] = [await idsIn('left'), await idsIn('right')]
  t.equal(new Set([...ofLeft, ...ofRight]).size, 6)
  await idsIn('left', `&batch_id=${right.id}`)

  const notFound = { status: 404 }
  t.match(await call('GET', `/v1/batches/${right.id}?pool=left`), notFound)
  t.match(await call('DELETE', `/v1/batches/${right.id}?pool=left`), notFound)
  t.match(await call('GET', `/v1/users/${ofRight[0]}?pool=left`), notFound)
  t.match(await call('GET', `/v1/users/${ofRight[0]}`), notFound, 'not in the default pool either')
  const stateOf = async (pool: string) =>
    (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
  const before = await stateOf('right')
  await call('DELETE', `/v1/batches/${left.id}?pool=left`)
  t.equal(await stateOf('right'), before)
  const answer = await call<{ reason: string }>('GET', `/v1/users/export?pool=left&base=${before}`)
  t.match(answer.json, { kind: 'full', reason: 'unknown' }, 'a base of another pool is unknown')
})

t.test('a batch can be read at its Location', async (t) => {
  await create('located')
  const { headers, json } = await call<Batch>('POST', '/v1/batches?pool=located', {
    body: { count: 1 },
    headers: { prefer: 'wait=30' },
  })
  t.strictSame((await call('GET', headers.location ?? '')).json, json)
})

t.test('an unknown pool answers 404 on every route', async (t) => {
  const { paths } = resolveReferences(app.swagger()) as {
    paths: Record<string, Record<string, { parameters?: { name: string }[]; requestBody?: object }>>
  }
  let routes = 0
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { parameters = [], requestBody }] of Object.entries(methods)) {
      if (!parameters.some(({ name }) => name === 'pool') || path === '/v1/audit') continue // it includes deleted pools
      if (path.startsWith('/sts/')) continue // answers with pages; see test/leases/simple-table-server.pg.test.ts
      const url = examplePath(path)
      const body = requestBody && (ROUTE_BODIES[path] ?? { role: 'x' })
      const answer = await call(method.toUpperCase(), `${url}?pool=nowhere`, body && { body })
      t.match(answer, { status: 404, json: { code: 'pool_not_found' } }, `${method} ${path}`)
      t.match(
        await call(method.toUpperCase(), `${url}?pool=No+Name`, body && { body }),
        { status: 400 },
        `${method} ${path}`,
      )
      routes++
    }
  }
  t.ok(routes >= 9, `${routes} routes have the parameter pool`)
})
