import type { BatchConfig } from '../../src/batches/batch-config.ts'
import type { Batch } from '../../src/batches/batches.ts'
import type { Template } from '../../src/templates/templates.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { BUILT_IN, SHOP, templateClient } from './template-client.ts'

const t = suite()

const service = await sharedService(t)
const { sql, call } = service
const { create, put, makeBatch } = templateClient(service)

/** The settings of a batch without its seed, which is random. */
function withoutSeed({ config }: Batch): object {
  const { seed, ...others } = config as BatchConfig
  t.match(seed, /^[0-9a-f]{16}$/)
  return others
}

t.test('a batch uses its template, with the request’s settings on top', async (t) => {
  await create('store')
  const plain = (await makeBatch({ count: 4, template: 'store' })).json
  const completed = {
    ...SHOP,
    email_domain: 'example.com',
    password_mode: 'shared',
    totp: false,
    generator_version: 1,
    locale: 'en',
    max_workers: 2,
  }
  t.match(plain, { status: 'completed', created_count: 4, profile: { chunks: 2 } })
  t.strictSame(withoutSeed(plain), { ...completed, password_hash: { algorithm: 'none', distinct: 1 } })

  const config = {
    role: 'seller',
    custom_attributes: { plan: 'none' },
    password_hash: { distinct: 1 },
    password: 'Tp1',
  }
  const { json } = await makeBatch({ count: 2, template: 'store', config })
  t.strictSame(withoutSeed(json), {
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

  await put('store', { role: 'other' })
  t.strictSame(
    (await call<Batch>('GET', `/v1/batches/${plain.id}`)).json,
    plain,
    'a batch keeps the settings it was created with',
  )
  t.match((await makeBatch({ count: 1, template: 'store' })).json, { config: { role: 'other', chunk_size: 5000 } })
  await call('DELETE', '/v1/templates/store')
})

t.test('a batch can use the built-in templates, and `default` is the default', async (t) => {
  for (const template of BUILT_IN) {
    const { config } = (await call<Template>('GET', `/v1/templates/${template}`)).json
    const batch = (await makeBatch({ count: 2, template, config: { password_hash: { algorithm: 'none' } } })).json
    t.match(batch, { status: 'completed', created_count: 2, config }, template)
  }
  const [named, unnamed] = [await makeBatch({ count: 1, template: 'default' }), await makeBatch({ count: 1 })]
  t.strictSame(withoutSeed(named.json), withoutSeed(unnamed.json))
})

t.test('the merged settings are checked like any request', async (t) => {
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

  // Like a template created while the service had more workers.
  await sql`update templates set settings = '{"max_workers": 40}' where name = 'pattern'`
  t.match((await call('GET', '/v1/templates/pattern')).json, { config: { max_workers: 40 } })
  const errors = [{ path: 'body.config.max_workers', code: 'maximum' }]
  await refused({ count: 1, template: 'pattern' }, { status: 400, code: 'invalid_request', errors })
  t.equal((await makeBatch({ count: 1, template: 'pattern', config: { max_workers: 1 } })).status, 201)
})

t.test('a repeated request returns its batch, even if the template was deleted', async (t) => {
  await create('passing', { role: 'passing' })
  const key = { 'idempotency-key': 'from-a-template' }
  const first = await makeBatch({ count: 1, template: 'passing' }, key)
  await call('DELETE', '/v1/templates/passing')
  const again = await makeBatch({ count: 1, template: 'passing' }, key)
  t.match(again, { status: 201, json: { id: first.json.id, config: { role: 'passing' } } })
  t.match(await makeBatch({ count: 1 }, key), { status: 422, json: { code: 'idempotency_key_reused' } })
})
