import type { Batch } from '../../src/batches/batches.ts'
import { everyGenerator } from '../generators/every-generator.ts'
import { sharedService } from '../http/shared-service.ts'
import { suite } from '../suite.ts'
import { applyExport } from './apply-export.ts'
import { makePool, NOTHING } from './observe.ts'

const t = suite()

/* Generated attributes in every format of an export, in deltas, and in the pools that read these exports. */

const { sql, call } = await sharedService(t)

const COUNT = 300
const config = {
  username_pattern: '{first}.{n}@example.com',
  role: { $choice: { user: 2, 'two\nlines, "quoted"': 1 } },
  custom_attributes: {
    ...everyGenerator,
    first: { $name: 'first' },
    street: { $place: 'street' },
    'a "name",\nof two lines': { $template: '=1+1;{street}' },
  },
  locale: 'ar',
  password_hash: { algorithm: 'none' },
}
await makePool(sql, 'source')
const { json: batch } = await call<Batch>('POST', '/v1/batches?pool=source', {
  body: { count: COUNT, config },
  headers: { prefer: 'wait=30' },
})

const exported = async (format: string, query = '', pool = 'source') =>
  (await call('GET', `/v1/users/export?pool=${pool}&format=${format}${query}`)).raw.toString()
const stateOf = async (pool: string) =>
  (await call<{ state: string }>('GET', `/v1/states/current?pool=${pool}`)).json.state
const base = await stateOf('source')

t.test('every format contains the attributes as the database has them', async (t) => {
  t.match(batch, { status: 'completed', created_count: COUNT })
  const rows = await sql<{ id: string; attributes: string; role: string }[]>`
    select id, custom_attributes::text as attributes, role from users where batch_id = ${batch.id} order by id`
  const { users } = JSON.parse(await exported('json')) as { users: { custom_attributes: object; role: string }[] }
  const lines = [...applyExport(NOTHING, await exported('ndjson')).held.lines.values()].map((line) => JSON.parse(line))
  for (const found of [users, lines]) {
    t.strictSame(
      found.map((user) => [user.role, user.custom_attributes]),
      rows.map(({ role, attributes }) => [role, JSON.parse(attributes)]),
    )
  }
  t.ok(new Set(rows.map(({ attributes }) => attributes)).size === COUNT, 'the users differ')
})

t.test('every format can be imported into an empty pool, which then has the same state', async (t) => {
  for (const format of ['csv', 'ndjson', 'json']) {
    const pool = `from-${format}`
    await makePool(sql, pool)
    const answer = await call('POST', `/v1/users/import?pool=${pool}&format=${format}`, {
      body: await exported(format),
      headers: { 'content-type': 'application/octet-stream' },
    })
    t.match(answer, { status: 201, json: { created_count: COUNT, failed_count: 0 } }, format)
    t.equal(await stateOf(pool), base, format)
  }
})

t.test('a changed attribute is in the delta of every format, and a replica follows', async (t) => {
  await makePool(sql, 'follower')
  const put = async (body: string) =>
    call('PUT', '/v1/replica/users?pool=follower', { body, headers: { 'content-type': 'application/x-ndjson' } })
  await call('PATCH', '/v1/pools/follower', { body: { replica: 'test_users' } })
  const full = await exported('ndjson')
  t.match(await put(full), { status: 200, json: { kind: 'full', state: base, counts: { added: COUNT } } })

  const { held } = applyExport(NOTHING, full)
  const user = JSON.parse(held.lines.values().toArray()[7] ?? '{}')
  const patch = { plan: 'changed, "quoted"\n', added: [1.5, null] } // a generated null would remove its member
  const custom_attributes = { ...user.custom_attributes, ...patch }
  const path = `/v1/users/${user.id}?pool=source`
  t.match(await call('PATCH', path, { body: { custom_attributes: patch } }), {
    status: 200,
    json: { custom_attributes },
  })

  const state = await stateOf('source')
  const counts = { added: 0, updated: 1, deleted: 0 }
  const delta = await exported('ndjson', `&base=${base}`)
  const after = applyExport(held, delta)
  t.match(after.head, { kind: 'delta', state, counts })
  t.strictSame(JSON.parse(after.held.lines.get(user.id) ?? '{}').custom_attributes, custom_attributes)
  t.match(JSON.parse(await exported('json', `&base=${base}`)), {
    ...{ kind: 'delta', state, counts },
    updated: [{ id: user.id, custom_attributes }],
  })
  const csv = await exported('csv', `&base=${base}`)
  t.ok(csv.split('\n')[1]?.startsWith(`updated,${user.id},`), csv)
  t.match(await put(delta), { status: 200, json: { kind: 'delta', state, counts } })
  t.equal(await stateOf('follower'), state)
})
