import type { Batch } from '../../src/batches/batches.ts'
import type { Template } from '../../src/templates/templates.ts'
import { type Answer, startService } from '../http/service.ts'
import { suite } from '../suite.ts'

const t = suite()

const { sql, call, log } = await startService(t, { MAX_WORKERS: '2' })

interface Page {
  items: Template[]
  next_cursor: string | null
}

interface Exported {
  templates: Pick<Template, 'name' | 'description' | 'config'>[]
}

const SHOP = {
  username_pattern: 'shop_{id}@shop.test',
  role: 'buyer',
  custom_attributes: { plan: 'gold', 'two\nlines': 2, depth: { of: [1, 'ü', null] } },
  password_hash: { algorithm: 'none' },
  chunk_size: 3,
} as const

const BUILT_IN = ['admin', 'default', 'load_test', 'performance_test', 'security_test']

const create = (name: string, config: object = SHOP, pool?: string) =>
  call<Template>('POST', '/v1/templates', { body: { name, config, ...(pool && { pool }) } })
const put = (name: string, config: object, description?: string) =>
  call<Template>('PUT', `/v1/templates/${name}`, { body: { config, ...(description && { description }) } })
const makePool = (name: string) => call('POST', '/v1/pools', { body: { name } })
const namesIn = async (pool: string) =>
  (await call<Page>('GET', `/v1/templates?limit=1000&pool=${pool}`)).json.items.map(({ name }) => name)
/** The pool's own templates, as the table has them. */
const stored = async () => [...(await sql`select * from templates order by pool_id, name`)]
const makeBatch = (body: object, headers: Record<string, string> = {}) =>
  call<Batch>('POST', '/v1/batches', { body, headers: { prefer: 'wait=30', ...headers } })

t.test('a template is made, read, replaced and removed', async (t) => {
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
  t.strictSame((await call('GET', '/v1/templates/shop-2.eu')).json, made.json, 'as it was')

  const replaced = await put('shop-2.eu', { role: 'seller' })
  t.match(replaced, { status: 200, json: { description: '', config: { role: 'seller' }, created_at } })
  t.strictSame(replaced.json.config, { role: 'seller' }, 'nothing of the former')
  t.ok((replaced.json.updated_at ?? '') > (updated_at ?? ''))
  t.strictSame((await call('GET', '/v1/templates/shop-2.eu')).json, replaced.json)

  const { status, raw } = await call('DELETE', '/v1/templates/shop-2.eu')
  t.match({ status, length: raw.length }, { status: 204, length: 0 })
  const gone = { status: 404, json: { code: 'template_not_found' } }
  t.match(await call('DELETE', '/v1/templates/shop-2.eu'), gone)
  t.match(await call('GET', '/v1/templates/shop-2.eu'), gone)

  const anew = await put('shop-2.eu', SHOP, 'by PUT')
  t.match(anew, {
    status: 201,
    headers: { location: '/v1/templates/shop-2.eu' },
    json: { description: 'by PUT', config: SHOP },
  })
  await call('DELETE', '/v1/templates/shop-2.eu')
})

t.test('the built-in ones are there, and stay', async (t) => {
  t.strictSame(await namesIn('default'), BUILT_IN)
  for (const name of BUILT_IN) {
    const { status, json } = await call<Template>('GET', `/v1/templates/${name}`)
    t.match({ status, json }, { status: 200, json: { name, built_in: true, created_at: null, updated_at: null } })
    t.match(json.config, { username_pattern: /\{id\}@/, role: /^(user|admin)$/, custom_attributes: {} }, name)
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

t.test('what no template may be is refused, and nothing is written', async (t) => {
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
    'a refused password is not logged',
  )
})

t.test('the list goes by name, built-in and own together, page by page', async (t) => {
  await makePool('paged')
  for (const name of ['zoo', 'load-test', 'load.test', 'admin2', 'a', '0']) await create(name, {}, 'paged')
  const all = (await call<Page>('GET', '/v1/templates?pool=paged')).json
  const names = all.items.map(({ name }) => name)
  t.equal(names.length, 11)
  t.strictSame(names, names.toSorted())
  t.equal(all.next_cursor, null)
  for (const limit of [1, 2, 5, 11]) {
    const seen: Template[] = []
    let path: string | undefined = `/v1/templates?pool=paged&limit=${limit}`
    while (path) {
      const { json, headers }: Answer<Page> = await call<Page>('GET', path)
      seen.push(...json.items)
      path = /^<(.*)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1]
      t.equal(path !== undefined, json.next_cursor !== null)
    }
    t.strictSame(seen, all.items, `${limit} a page`)
  }
  const { next_cursor } = (await call<Page>('GET', '/v1/templates?pool=paged&limit=2')).json
  for (const query of [`cursor=${next_cursor}`, 'pool=paged&cursor=x']) {
    const invalid = { status: 400, json: { code: 'cursor_invalid' } }
    t.match(await call('GET', `/v1/templates?${query}`), invalid, query)
  }
})

t.test('settings are judged without being written, or a password being told', async (t) => {
  const before = await stored()
  const judge = (config: unknown, more: object = {}) =>
    call<Record<string, unknown>>('POST', '/v1/templates/validate', { body: { config, ...more } })
  const right = await judge({ ...SHOP, password: 'S3cret-Nowhere-To-Be-Seen-9' })
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
      password_hash: { algorithm: 'none', distinct: 1 },
      totp: false,
      max_workers: 2,
    },
  })
  const wrong = await judge({ username_pattern: 'u{uuid}', password: 's3cret-seen-nowhere' })
  t.match(wrong, {
    status: 200,
    json: {
      is_valid: false,
      errors: [{ path: 'body.config.username_pattern', code: 'pattern_invalid', message: /\{uuid\}/ }],
      warnings: [{ path: 'body.config.password', code: 'password_weak' }],
      config: { username_pattern: 'u{uuid}' },
    },
  })
  const unreadable = await judge({ chunk_size: 0, nmae: 'x', password: 5 })
  t.match(unreadable, { status: 200, json: { is_valid: false, warnings: [], config: null } })
  t.strictSame((unreadable.json['errors'] as { path: string }[]).map(({ path }) => path).toSorted(), [
    'body.config.chunk_size',
    'body.config.nmae',
    'body.config.password',
  ])
  for (const answer of [right, wrong]) t.notOk(/nowhere/i.test(answer.raw.toString()))
  t.notOk(log.some((line) => /seen-nowhere|Nowhere-To/.test(line)))
  t.match(await judge([]), { status: 400, json: { errors: [{ path: 'body.config', code: 'type' }] } })
  t.match(await judge({}, { nmae: 1 }), { status: 400, json: { errors: [{ code: 'unknown_member' }] } })
  t.match(await judge({}, { pool: 'nowhere' }), { status: 404, json: { code: 'pool_not_found' } })
  t.strictSame(await stored(), before)
})

t.test('what is exported, removed and imported is the same', async (t) => {
  await makePool('moved')
  for (const name of ['one', 'two']) await create(name, { ...SHOP, role: name }, 'moved')
  await call('PUT', '/v1/templates/three?pool=moved', { body: { description: 'the third', config: {} } })
  const exported = (await call<Exported>('GET', '/v1/templates/export?pool=moved')).json
  t.strictSame(exported, {
    templates: [
      { name: 'one', description: '', config: { ...SHOP, role: 'one' } },
      { name: 'three', description: 'the third', config: {} },
      { name: 'two', description: '', config: { ...SHOP, role: 'two' } },
    ],
  })
  for (const { name } of exported.templates) await call('DELETE', `/v1/templates/${name}?pool=moved`)
  t.strictSame((await call('GET', '/v1/templates/export?pool=moved')).json, { templates: [] })

  const imported = await call('POST', '/v1/templates/import?pool=moved', { body: exported })
  t.equal(imported.status, 200)
  t.strictSame(imported.json, { imported: ['one', 'three', 'two'], skipped: [], errors: [] })
  t.strictSame((await call('GET', '/v1/templates/export?pool=moved')).json, exported)
})

t.test('an import keeps what is there, unless it is told to overwrite', async (t) => {
  await makePool('kept')
  await create('there', { role: 'former' }, 'kept')
  const there = () => call<Template>('GET', '/v1/templates/there?pool=kept')
  const former = (await there()).json
  const templates = [
    { name: 'there', description: 'new', config: { role: 'latter' } },
    { name: 'load_test', config: { nonsense: true } },
    { name: 'fresh', config: { role: 'fresh' } },
  ]
  const send = (more: object = {}) =>
    call('POST', '/v1/templates/import', { body: { pool: 'kept', templates, ...more } })
  t.strictSame((await send()).json, { imported: ['fresh'], skipped: ['load_test', 'there'], errors: [] })
  t.strictSame((await there()).json, former)
  t.strictSame((await send({ overwrite: true })).json, {
    imported: ['there', 'fresh'],
    skipped: ['load_test'],
    errors: [],
  })
  t.match((await there()).json, { description: 'new', config: { role: 'latter' }, created_at: former.created_at })
  t.match((await call<Template>('GET', '/v1/templates/load_test?pool=kept')).json, { built_in: true })
})

t.test('an import takes over what is right and tells the faults of the rest', async (t) => {
  await makePool('mixed')
  const templates = [
    { name: 'right', config: SHOP },
    { name: 'unreadable', config: { chunk_size: 0, password: 'TestPass123!' } },
    { name: 'right', config: { role: 'again' } },
    { name: 'foreign', config: { username_pattern: 'u{id}@gmail.com' } },
    { name: 'unstorable', config: { role: 'nul \u0000' } },
  ]
  const { status, json } = await call<{ errors: { path: string; code: string }[] }>('POST', '/v1/templates/import', {
    body: { pool: 'mixed', templates },
  })
  t.match({ status, json }, { status: 200, json: { imported: ['right'], skipped: [] } })
  t.strictSame(
    json.errors.map(({ path, code }) => `${path} ${code}`),
    [
      'body.templates.1.config.password unknown_member',
      'body.templates.1.config.chunk_size minimum',
      'body.templates.2.name duplicate',
      'body.templates.3.config.username_pattern domain_not_reserved',
      'body.templates.4.config unstorable',
    ],
  )
  t.match((await call('GET', '/v1/templates/right?pool=mixed')).json, { config: SHOP })

  const refused = async (body: object, expected: object) =>
    t.match((await call('POST', '/v1/templates/import', { body })).json, expected, JSON.stringify(body).slice(0, 80))
  await refused({}, { status: 400, errors: [{ path: 'body.templates', code: 'missing_member' }] })
  await refused({ templates: {} }, { status: 400, errors: [{ path: 'body.templates', code: 'type' }] })
  await refused(
    { templates: [{ name: 'A', config: {} }] },
    { status: 400, errors: [{ path: 'body.templates.0.name' }] },
  )
  await refused({ templates: [{ name: 'a' }] }, { status: 400, errors: [{ path: 'body.templates.0.config' }] })
  await refused({ templates: [], file_path: 'x' }, { status: 400, errors: [{ code: 'unknown_member' }] })
  await refused({ templates: [], overwrite: 1 }, { status: 400, errors: [{ path: 'body.overwrite' }] })
  await refused({ templates: Array(1001).fill(templates[0]) }, { status: 400, errors: [{ code: 'maxItems' }] })
  t.strictSame(await namesIn('mixed'), [...BUILT_IN, 'right'].toSorted())
})

t.test('a pool has at most 100 of its own, however many are written at once', async (t) => {
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
  t.equal((await namesIn('full')).length, 105)
  t.match(await create('more', {}, 'full'), limit)
  t.match(await call('PUT', '/v1/templates/more?pool=full', { body: { config: {} } }), limit)
  t.match(await create('t5', {}, 'full'), { status: 409, json: { code: 'template_exists' } })
  t.equal(
    (await call('PUT', '/v1/templates/t5?pool=full', { body: { config: SHOP } })).status,
    200,
    'replacing goes on',
  )
  t.match(await send(many(90)), { status: 200, json: { imported: [] } })
  await call('DELETE', '/v1/templates/t5?pool=full')
  t.equal((await create('more', {}, 'full')).status, 201)
})

t.test('the largest templates that a pool can have go through export and import', async (t) => {
  await makePool('large')
  const templates = Array.from({ length: 100 }, (_, i) => ({
    name: `large${i}`,
    description: '',
    config: { custom_attributes: { text: 'x'.repeat(65_400) } },
  })).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const answer = await call('POST', '/v1/templates/import', { body: { pool: 'large', templates } })
  t.match(answer, { status: 200, json: { errors: [] } })
  t.strictSame((await call('GET', '/v1/templates/export?pool=large')).json, { templates })
  t.equal((await call('DELETE', '/v1/pools/large')).status, 204)
})

t.test('pools are apart', async (t) => {
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
  t.same(orphans, { count: 0 }, 'a pool’s templates go with it')
})

t.test('a batch is made from a template, overlaid by its own settings', async (t) => {
  await create('shop')
  const plain = (await makeBatch({ count: 4, template: 'shop' })).json
  const completed = { ...SHOP, email_domain: 'example.com', password_mode: 'shared', totp: false, max_workers: 2 }
  t.match(plain, { status: 'completed', created_count: 4, profile: { chunks: 2 } })
  t.strictSame(plain.config, { ...completed, password_hash: { algorithm: 'none', distinct: 1 } })

  const config = {
    role: 'seller',
    custom_attributes: { plan: 'none' },
    password_hash: { distinct: 1 },
    password: 'Tp1',
  }
  const { json } = await makeBatch({ count: 2, template: 'shop', config })
  t.strictSame(json.config, {
    ...completed,
    role: 'seller',
    custom_attributes: { plan: 'none' },
    password_hash: { algorithm: 'none', distinct: 1 },
  })
  const users = await sql`select username, role, custom_attributes from users where batch_id = ${json.id} order by id`
  t.match(
    [...users],
    Array(2).fill({ username: /^shop_\d+@shop\.test$/, role: 'seller', custom_attributes: { plan: 'none' } }),
  )

  await put('shop', { role: 'other' })
  t.strictSame((await call<Batch>('GET', `/v1/batches/${plain.id}`)).json, plain, 'a batch keeps what it was made from')
  t.match((await makeBatch({ count: 1, template: 'shop' })).json, { config: { role: 'other', chunk_size: 5000 } })
  await call('DELETE', '/v1/templates/shop')
})

t.test('also from the built-in ones; `default` is what none means', async (t) => {
  for (const template of BUILT_IN) {
    const { config } = (await call<Template>('GET', `/v1/templates/${template}`)).json
    const batch = (await makeBatch({ count: 2, template, config: { password_hash: { algorithm: 'none' } } })).json
    t.match(batch, { status: 'completed', created_count: 2, config }, template)
  }
  const [named, unnamed] = [await makeBatch({ count: 1, template: 'default' }), await makeBatch({ count: 1 })]
  t.strictSame(named.json.config, unnamed.json.config)
})

t.test('what comes of the overlay is checked as any request is', async (t) => {
  await create('pattern', { username_pattern: 'u{id}', chunk_size: 1 })
  const refused = async (body: object, expected: { status: number; code?: string; errors?: object[] }) => {
    const { status, json } = await makeBatch(body)
    t.match({ status, json }, { status: expected.status, json: expected }, JSON.stringify(body))
  }
  await refused({ count: 1, template: 'nothing' }, { status: 404, code: 'template_not_found' })
  await refused({ count: 1, template: 'No Name' }, { status: 400, errors: [{ path: 'body.template' }] })
  await refused({ count: 1, template: 5 }, { status: 400, errors: [{ path: 'body.template' }] })
  const foreign = { count: 2, template: 'pattern', config: { email_domain: 'shop.de' } }
  await refused(foreign, { status: 422, code: 'domain_not_reserved' })
  const path = 'body.config.chunk_size'
  await refused({ count: 100_001, template: 'pattern' }, { status: 400, errors: [{ path, code: 'minimum' }] })

  // As one that was made while the service had more workers.
  await sql`update templates set settings = '{"max_workers": 40}' where name = 'pattern'`
  t.match((await call('GET', '/v1/templates/pattern')).json, { config: { max_workers: 40 } })
  const errors = [{ path: 'body.config.max_workers', code: 'maximum' }]
  await refused({ count: 1, template: 'pattern' }, { status: 400, code: 'invalid_request', errors })
  t.equal((await makeBatch({ count: 1, template: 'pattern', config: { max_workers: 1 } })).status, 201)
})

t.test('a repeated request gets its batch, whatever has become of the template', async (t) => {
  await create('passing', { role: 'passing' })
  const key = { 'idempotency-key': 'from-a-template' }
  const first = await makeBatch({ count: 1, template: 'passing' }, key)
  await call('DELETE', '/v1/templates/passing')
  const again = await makeBatch({ count: 1, template: 'passing' }, key)
  t.match(again, { status: 201, json: { id: first.json.id, config: { role: 'passing' } } })
  t.match(await makeBatch({ count: 1 }, key), { status: 422, json: { code: 'idempotency_key_reused' } })
})
