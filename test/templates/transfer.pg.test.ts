import type { Template } from '../../src/templates/templates.ts'
import { importTemplates } from '../../src/templates/write-templates.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { BUILT_IN, SHOP, templateClient } from './template-client.ts'

const t = suite()

/* Export and import of templates. */

const service = await sharedService(t)
const { call, sql } = service
const { create, makePool, namesIn } = templateClient(service)

interface Exported {
  templates: Pick<Template, 'name' | 'description' | 'config'>[]
}

t.test('exported templates are the same after deleting and importing them', async (t) => {
  await makePool('moved')
  const generated = { $choice: { buyer: 9, 'seller\n2': 1 } }
  await create('generated', { ...SHOP, role: generated }, 'moved')
  for (const name of ['one', 'two']) await create(name, { ...SHOP, role: name }, 'moved')
  await call('PUT', '/v1/templates/three?pool=moved', { body: { description: 'the third', config: {} } })
  const exported = (await call<Exported>('GET', '/v1/templates/export?pool=moved')).json
  t.strictSame(exported, {
    templates: [
      { name: 'generated', description: '', config: { ...SHOP, role: generated } },
      { name: 'one', description: '', config: { ...SHOP, role: 'one' } },
      { name: 'three', description: 'the third', config: {} },
      { name: 'two', description: '', config: { ...SHOP, role: 'two' } },
    ],
  })
  for (const { name } of exported.templates) await call('DELETE', `/v1/templates/${name}?pool=moved`)
  t.strictSame((await call('GET', '/v1/templates/export?pool=moved')).json, { templates: [] })

  const imported = await call('POST', '/v1/templates/import?pool=moved', { body: exported })
  t.equal(imported.status, 200)
  t.strictSame(imported.json, { imported: ['generated', 'one', 'three', 'two'], skipped: [], errors: [] })
  t.strictSame((await call('GET', '/v1/templates/export?pool=moved')).json, exported)
})

t.test('an import keeps existing templates unless overwrite is true', async (t) => {
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

t.test('an import creates the valid templates and reports the errors of the others', async (t) => {
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

t.test('other requests have their turn between two templates of an import', async (t) => {
  let turns = 0
  const checkedIn: number[] = []
  const check = () => {
    checkedIn.push(turns)
    setImmediate(() => turns++)
    return {}
  }
  const candidates = ['turn1', 'turn2', 'turn3'].map((name) => ({ name, config: {} }))
  t.match(await importTemplates(sql, 1, candidates, { overwrite: false, check }), { errors: [] })
  t.strictSame(checkedIn, [0, 1, 2])
})

t.test('the largest templates that a pool can have can be exported and imported', async (t) => {
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
