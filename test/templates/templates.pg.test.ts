import { BUILT_IN as BUILT_IN_TEMPLATES } from '../../src/templates/built-in-templates.ts'
import type { Template } from '../../src/templates/templates.ts'
import type { Answer } from '../http/service.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { BUILT_IN, SHOP, type TemplatePage, templateClient } from './template-client.ts'

const t = suite()

const service = await sharedService(t)
const { sql, call, log } = service
const { create, put, makePool, namesIn, makeBatch } = templateClient(service)
/** The pools' own templates, as stored. */
const stored = async () => [...(await sql`select * from templates order by pool_id, name`)]

t.test('a template can be created, read, replaced and deleted', async (t) => {
  const made = await call<Template>('POST', '/v1/templates', {
    body: { name: 'shop-2.eu', description: 'Buyers', config: SHOP },
  })
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
  t.match(made, { status: 201, json: { created_at: time, updated_at: time } })
  const { created_at, updated_at, ...rest } = made.json
  t.strictSame(rest, { name: 'shop-2.eu', description: 'Buyers', built_in: false, config: SHOP })
  t.equal(created_at, updated_at)
  t.equal(made.headers.location, '/v1/templates/shop-2.eu')
  t.strictSame((await call('GET', made.headers.location ?? '')).json, made.json)
  t.match(await create('shop-2.eu'), { status: 409, json: { code: 'template_exists' } })
  t.strictSame((await call('GET', '/v1/templates/shop-2.eu')).json, made.json, 'unchanged')

  const replaced = await put('shop-2.eu', { role: 'seller' })
  t.match(replaced, { status: 200, json: { description: '', config: { role: 'seller' }, created_at } })
  t.strictSame(replaced.json.config, { role: 'seller' }, 'nothing of the previous one')
  t.ok((replaced.json.updated_at ?? '') > (updated_at ?? ''))
  t.strictSame((await call('GET', '/v1/templates/shop-2.eu')).json, replaced.json)

  const { status, raw } = await call('DELETE', '/v1/templates/shop-2.eu')
  t.match({ status, length: raw.length }, { status: 204, length: 0 })
  const gone = { status: 404, json: { code: 'template_not_found' } }
  t.match(await call('DELETE', '/v1/templates/shop-2.eu'), gone)
  t.match(await call('GET', '/v1/templates/shop-2.eu'), gone)

  const recreated = await put('shop-2.eu', SHOP, 'by PUT')
  t.match(recreated, {
    status: 201,
    headers: { location: '/v1/templates/shop-2.eu' },
    json: { description: 'by PUT', config: SHOP },
  })
  await call('DELETE', '/v1/templates/shop-2.eu')
})

t.test('the built-in templates exist and cannot be changed', async (t) => {
  t.strictSame(await namesIn('default'), BUILT_IN)
  for (const name of BUILT_IN) {
    const { status, json } = await call<Template>('GET', `/v1/templates/${name}`)
    t.match({ status, json }, { status: 200, json: { name, built_in: true, created_at: null, updated_at: null } })
    t.strictSame(json.config, BUILT_IN_TEMPLATES.find((template) => template.name === name)?.config, name)
    t.notOk('password' in json.config)
    t.match(await create(name), { status: 409, json: { code: 'template_exists' } }, name)
    t.match(await put(name, SHOP), { status: 403, json: { code: 'template_built_in' } }, name)
    t.match(await call('DELETE', `/v1/templates/${name}`), { status: 403, json: { code: 'template_built_in' } }, name)
    t.strictSame((await call('GET', `/v1/templates/${name}`)).json, json)
  }
  t.match((await call('GET', '/v1/templates/load_test')).json, {
    config: { username_pattern: 'loadtest_{id}@loadtest.test', custom_attributes: { test_type: 'load' } },
  })
  t.strictSame(await stored(), [])
})

t.test('an invalid template is rejected, and nothing is written', async (t) => {
  const before = await stored()
  const fault = (path: string, code: string) => ({ status: 400, code: 'invalid_request', errors: [{ path, code }] })
  const config = (members: object) => ({ config: members })
  const table: [body: object, expected: object][] = [
    [{}, fault('body.config', 'missing_member')],
    [{ config: [] }, fault('body.config', 'type')],
    [{ config: {}, built_in: true }, fault('body.built_in', 'unknown_member')],
    [{ config: {}, description: 5 }, fault('body.description', 'type')],
    [{ config: {}, description: 'x'.repeat(201) }, fault('body.description', 'maxLength')],
    [
      { config: {}, description: 'nul \u0000' },
      { status: 400, code: 'invalid_request' },
    ],
    [config({ password: 'TestPass123!' }), fault('body.config.password', 'unknown_member')],
    [config({ label: 'x' }), fault('body.config.label', 'unknown_member')],
    [config({ test_batch_id: 'x' }), fault('body.config.test_batch_id', 'unknown_member')],
    [config({ chunk_size: '5' }), fault('body.config.chunk_size', 'type')],
    [config({ max_workers: 3 }), fault('body.config.max_workers', 'maximum')],
    [config({ role: 'nul \u0000' }), fault('body.config', 'unstorable')],
    [config({ custom_attributes: { a: 'x'.repeat(66_000) } }), fault('body.config', 'too_large')],
    [
      config({ username_pattern: 'u{uuid}' }),
      { status: 400, code: 'pattern_invalid', errors: [{ path: 'body.config.username_pattern' }] },
    ],
    [config({ username_pattern: 'all-the-same' }), { status: 400, code: 'pattern_invalid' }],
    [
      config({ username_pattern: 'u{id}', email_domain: 'shop.de' }),
      { status: 422, code: 'domain_not_reserved', errors: [{ path: 'body.config.email_domain' }] },
    ],
    [
      { config: {}, pool: 'nowhere' },
      { status: 404, code: 'pool_not_found' },
    ],
  ]
  for (const [body, expected] of table) {
    const { status, json } = await call<{ status: number }>('PUT', '/v1/templates/new', { body })
    t.match(json, expected, JSON.stringify(body).slice(0, 80))
    t.equal(status, json.status)
    t.match((await call('POST', '/v1/templates', { body: { name: 'new', ...body } })).json, expected)
  }
  for (const name of ['', 'A', '-a', 'a b', 'ä', 'x'.repeat(64), 'export', 'import', 'validate', 5, null]) {
    t.match(await create(name as string), { status: 400, json: { errors: [{ path: 'body.name' }] } }, `${name}`)
  }
  const deep = `{"name":"new","config":{"custom_attributes":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}}`
  const headers = { 'content-type': 'application/json' }
  t.match(await call('POST', '/v1/templates', { body: deep, headers }), { status: 400 })
  for (const method of ['GET', 'DELETE', 'PUT']) {
    const answer = await call(method, '/v1/templates/Not+One', method === 'PUT' ? { body: { config: {} } } : {})
    t.match(answer, { status: 400, json: { errors: [{ path: 'params.name', code: 'pattern' }] } }, method)
  }
  t.match(await call('DELETE', '/v1/templates/export'), { status: 405, headers: { allow: 'GET, HEAD' } })
  t.match(await call('GET', '/v1/templates/validate'), { status: 405, headers: { allow: 'POST' } })
  t.strictSame(await stored(), before)
  t.notOk(
    log.some((line) => line.includes('TestPass123!')),
    'a rejected password is not logged',
  )
})

t.test('the list is ordered by name, with built-in and own templates, across pages', async (t) => {
  await makePool('paged')
  for (const name of ['zoo', 'load-test', 'load.test', 'admin2', 'a', '0']) await create(name, {}, 'paged')
  const all = (await call<TemplatePage>('GET', '/v1/templates?pool=paged')).json
  const names = all.items.map(({ name }) => name)
  t.equal(names.length, BUILT_IN.length + 6)
  t.strictSame(names, names.toSorted())
  t.equal(all.next_cursor, null)
  for (const limit of [1, 2, 5, names.length]) {
    const seen: Template[] = []
    let path: string | undefined = `/v1/templates?pool=paged&limit=${limit}`
    while (path) {
      const { json, headers }: Answer<TemplatePage> = await call<TemplatePage>('GET', path)
      seen.push(...json.items)
      path = /^<(.*)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1]
      t.equal(path !== undefined, json.next_cursor !== null)
    }
    t.strictSame(seen, all.items, `${limit} per page`)
  }
  const { next_cursor } = (await call<TemplatePage>('GET', '/v1/templates?pool=paged&limit=2')).json
  for (const query of [`cursor=${next_cursor}`, 'pool=paged&cursor=x']) {
    const invalid = { status: 400, json: { code: 'cursor_invalid' } }
    t.match(await call('GET', `/v1/templates?${query}`), invalid, query)
  }
})

t.test('validate checks settings without writing them or returning a password', async (t) => {
  const before = await stored()
  const check = (config: unknown, more: object = {}) =>
    call<Record<string, unknown>>('POST', '/v1/templates/validate', { body: { config, ...more } })
  const right = await check({ ...SHOP, password: 'S3cret-Nowhere-To-Be-Seen-9' })
  t.equal(right.status, 200)
  t.strictSame(right.json, {
    is_valid: true,
    errors: [],
    warnings: [
      { path: 'body.config.role', code: 'role_unusual', message: 'is not one of user, admin, moderator, test' },
    ],
    config: {
      ...SHOP,
      email_domain: 'example.com',
      password_mode: 'shared',
      totp: false,
      generator_version: 1,
      locale: 'en',
      password_hash: { algorithm: 'none', distinct: 1 },
      max_workers: 2,
    },
  })
  const wrong = await check({ username_pattern: 'all-the-same', password: 's3cret-seen-nowhere' })
  t.match(wrong, {
    status: 200,
    json: {
      is_valid: false,
      errors: [{ path: 'body.config.username_pattern', code: 'pattern_invalid', message: /\{id\}/ }],
      warnings: [{ path: 'body.config.password', code: 'password_weak' }],
      config: { username_pattern: 'all-the-same' },
    },
  })
  t.match(await check({ username_pattern: 'u{uuid}' }), {
    status: 200,
    json: {
      is_valid: false,
      errors: [{ path: 'body.config.username_pattern', code: 'pattern_invalid', message: /\{uuid\}/ }],
      config: null,
    },
  })
  const unreadable = await check({ chunk_size: 0, nmae: 'x', password: 5 })
  t.match(unreadable, { status: 200, json: { is_valid: false, warnings: [], config: null } })
  t.strictSame((unreadable.json['errors'] as { path: string }[]).map(({ path }) => path).toSorted(), [
    'body.config.chunk_size',
    'body.config.nmae',
    'body.config.password',
  ])
  for (const answer of [right, wrong]) t.notOk(/nowhere/i.test(answer.raw.toString()))
  t.notOk(log.some((line) => /seen-nowhere|Nowhere-To/.test(line)))
  t.match(await check([]), { status: 400, json: { errors: [{ path: 'body.config', code: 'type' }] } })
  t.match(await check({}, { nmae: 1 }), { status: 400, json: { errors: [{ code: 'unknown_member' }] } })
  t.match(await check({}, { pool: 'nowhere' }), { status: 404, json: { code: 'pool_not_found' } })
  t.strictSame(await stored(), before)
})

t.test('a pool has at most 100 templates, even with concurrent writes', async (t) => {
  await makePool('full')
  const many = (count: number, prefix = 't') =>
    Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i}`, config: {} }))
  const send = (templates: object[]) =>
    call<{ imported: string[] }>('POST', '/v1/templates/import', { body: { pool: 'full', templates } })
  const limit = { status: 409, json: { code: 'template_limit' } }
  t.match(await send(many(101)), limit)
  t.strictSame(await namesIn('full'), BUILT_IN, 'all or none')
  t.equal((await send(many(90))).json.imported.length, 90)

  const statuses = (await Promise.all(many(20, 'x').map(({ name }) => create(name, {}, 'full')))).map(
    ({ status }) => status,
  )
  t.strictSame(statuses.toSorted(), [...Array(10).fill(201), ...Array(10).fill(409)])
  t.equal((await namesIn('full')).length, BUILT_IN.length + 100)
  t.match(await create('more', {}, 'full'), limit)
  t.match(await call('PUT', '/v1/templates/more?pool=full', { body: { config: {} } }), limit)
  t.match(await create('t5', {}, 'full'), { status: 409, json: { code: 'template_exists' } })
  t.equal(
    (await call('PUT', '/v1/templates/t5?pool=full', { body: { config: SHOP } })).status,
    200,
    'replacing is still possible',
  )
  t.match(await send(many(90)), { status: 200, json: { imported: [] } })
  await call('DELETE', '/v1/templates/t5?pool=full')
  t.equal((await create('more', {}, 'full')).status, 201)
})

t.test('templates of different pools are separate', async (t) => {
  for (const name of ['left', 'right']) await makePool(name)
  const made = await create('twin', { role: 'left' }, 'left')
  t.equal(made.headers.location, '/v1/templates/twin?pool=left')
  t.match(await create('twin', { role: 'right' }, 'right'), { status: 201 })
  t.match((await call('GET', made.headers.location ?? '')).json, { config: { role: 'left' } })
  t.equal((await call('DELETE', '/v1/templates/twin?pool=right')).status, 204)
  t.match(await call('GET', '/v1/templates/twin?pool=right'), { status: 404 })
  t.strictSame(await namesIn('right'), BUILT_IN)
  t.match(await makeBatch({ count: 1, template: 'twin', pool: 'right' }), {
    status: 404,
    json: { code: 'template_not_found' },
  })
  t.match(await makeBatch({ count: 1, template: 'twin', pool: 'left' }), { json: { config: { role: 'left' } } })

  t.equal((await call('DELETE', '/v1/pools/left')).status, 204)
  const [orphans] = await sql`
    select count(*)::int as count from templates r where not exists (select from pools p where p.id = r.pool_id)`
  t.same(orphans, { count: 0 }, 'a pool’s templates are deleted with it')
})
