import type { Batch } from '../../src/batches/batches.ts'
import type { FieldError } from '../../src/errors.ts'
import type { Preview } from '../../src/templates/preview.ts'
import { sharedService } from '../http/shared-service.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const { call, sql } = await sharedService(t)

type Answer = Batch & { code?: string; errors?: FieldError[] }

const GENERATED = {
  username_pattern: '{first}.{last}.{n}@example.com',
  locale: 'ja',
  seed: 'spring',
  role: { $choice: { user: 9, admin: 1 } },
  custom_attributes: {
    first: { $name: 'first' },
    last: { $name: 'last' },
    age: { $int: [18, 90] },
    vip: { $maybe: 0.2, of: true },
    full: { $template: '{last} {first}' },
    $$literal: 1,
    address: { city: { $place: 'city' } },
  },
  password_hash: { algorithm: 'none' },
}

const create = (config: object, count: number, pool = 'default') =>
  call<Answer>('POST', `/v1/batches?pool=${pool}`, { body: { count, config }, headers: { prefer: 'wait=30' } })

interface UserRow {
  n: number
  username: string
  role: string
  custom_attributes: Record<string, unknown>
}

/** The users of a batch by n, without what differs between batches. */
const usersOf = async (batchId: string) => [
  ...(await sql<UserRow[]>`
    select row_number() over (order by id)::int as n, username, role, custom_attributes
    from users where batch_id = ${batchId} order by id`),
]

t.test('values follow from the seed alone: not from chunks, workers or attributes beside them', async (t) => {
  const one = await create({ ...GENERATED, chunk_size: 7, max_workers: 2 }, 60)
  t.match(one, {
    status: 201,
    json: { status: 'completed', created_count: 60, config: { seed: 'spring', locale: 'ja', generator_version: 1 } },
  })
  await call('POST', '/v1/pools', { body: { name: 'generated-two' } })
  const { age, ...rest } = GENERATED.custom_attributes
  const attributes = { more: { $uuid: true }, ...rest, age }
  const two = await create(
    { ...GENERATED, custom_attributes: attributes, chunk_size: 60, max_workers: 1 },
    60,
    'generated-two',
  )
  t.match(two, { status: 201 })
  const [left, right] = [await usersOf(one.json.id), await usersOf(two.json.id)]
  t.strictSame(
    right.map(({ custom_attributes: { more: _, ...others }, ...user }) => ({ ...user, custom_attributes: others })),
    left,
  )
  for (const { username, role, custom_attributes } of left) {
    t.match(username, /^[a-z0-9-]+\.[a-z0-9-]+\.\d+@example\.com$/)
    t.ok(['user', 'admin'].includes(role))
    t.equal(custom_attributes['full'], `${custom_attributes['last']} ${custom_attributes['first']}`)
    t.equal(custom_attributes['$literal'], 1)
  }
  t.ok(new Set(left.map(({ custom_attributes }) => custom_attributes['age'])).size > 20)
})

t.test('a batch without a seed gets one, which makes the same values again', async (t) => {
  const config = { custom_attributes: { code: { $pattern: '[A-Z]{8}' } }, password_hash: { algorithm: 'none' } }
  const first = await create(config, 5)
  const seed = 'seed' in first.json.config ? first.json.config.seed : undefined
  t.match(seed, /^[0-9a-f]{16}$/)
  const again = await create({ ...config, seed }, 5)
  const other = await create(config, 5)
  const codes = async ({ json }: { json: Batch }) =>
    (await usersOf(json.id)).map((user) => user.custom_attributes['code'])
  t.strictSame(await codes(again), await codes(first))
  t.notSame(await codes(other), await codes(first))
})

t.test('generated users whose names are taken are listed as failures, the others exist', async (t) => {
  const config = { ...GENERATED, username_pattern: 'taken.{first}.{n}' }
  await create(config, 10)
  await sql`delete from users where username like 'taken.%' and right(username, 2) in ('.3', '.7')`
  const again = await create(config, 10)
  t.match(again.json, { status: 'completed_with_failures', created_count: 2, failed_count: 8 })
  const { items } = (
    await call<{ items: { n: number; code: string }[] }>('GET', `/v1/batches/${again.json.id}/failures`)
  ).json
  t.strictSame(
    items.map(({ n }) => n),
    [1, 2, 4, 5, 6, 8, 9, 10],
  )
  t.ok(items.every(({ code }) => code === 'username_taken'))
})

t.test('a large chunk of large attributes is inserted in pieces', async (t) => {
  const custom_attributes = {
    blob: { $pattern: '[a-z]{200}' },
    more: { $list: { $pattern: '[a-z]{200}' }, length: [40, 40] },
  }
  const count = sized(150, 1_100) // 1.3 or 9 MB
  const { json } = await create({ custom_attributes, password_hash: { algorithm: 'none' }, chunk_size: count }, count)
  t.match(json, { status: 'completed', created_count: count, profile: { chunks: 1 } })
  const [row] =
    await sql`select count(distinct custom_attributes->>'blob')::int as blobs from users where batch_id = ${json.id}`
  t.match(row, { blobs: count })
})

t.test('a preview shows the users that the batch then creates, and writes nothing', async (t) => {
  const config = { ...GENERATED, epoch: '2026-01-01T00:00:00Z', seed: 'preview' }
  const before = await sql`select count(*)::int from batches`
  const { status, json } = await call<Preview>('POST', '/v1/batches/preview', { body: { count: 150, config } })
  t.match({ status, json }, { status: 200, json: { is_valid: true, errors: [], estimated_seconds: { hashing: 0 } } })
  t.equal(json.users.length, 100)
  t.strictSame(await sql`select count(*)::int from batches`, before)
  const batch = await create(config, 150)
  const again = await call<Preview>('POST', '/v1/batches/preview', { body: { count: 150, config } })
  t.ok(again.json.warnings.some(({ code }) => code === 'population_exists'))
  const created = await sql`
    select id, username, email, role, custom_attributes, rfc3339(created_at) as created_at
    from users where batch_id = ${batch.json.id} order by id limit 100`
  t.strictSame(json.users, [...created])
})

t.test('a preview of a random seed returns the seed, and shows the next {id}', async (t) => {
  const { json } = await call<Preview>('POST', '/v1/batches/preview', { body: { count: 2, template: 'shop' } })
  t.match(json, { is_valid: true, users: [{ id: null, created_at: null }, {}] })
  const batch = await call<Answer>('POST', '/v1/batches', {
    body: { count: 2, template: 'shop', config: { seed: json.config?.seed } },
    headers: { prefer: 'wait=30' },
  })
  const created = await usersOf(batch.json.id)
  t.strictSame(
    created.map(({ username, role, custom_attributes }) => ({ username, role, custom_attributes })),
    json.users.map(({ username, role, custom_attributes }) => ({ username, role, custom_attributes })),
  )
})

const INVALID: [config: object, path: string, message: RegExp][] = [
  [{ custom_attributes: { a: { $nmae: 'first' } } }, 'custom_attributes.a.$nmae', /\$name/],
  [{ custom_attributes: { a: { $name: 'first', locale: 'xx' } } }, 'custom_attributes.a.locale', /Known: en/],
  [{ custom_attributes: { a: { $choice: { x: -1 } } } }, 'custom_attributes.a.$choice', /weight/],
  [{ custom_attributes: { a: { $int: [5, 1] } } }, 'custom_attributes.a.$int', /./],
  [{ custom_attributes: { a: { $ref: 'b' }, b: { $ref: 'a' } } }, 'custom_attributes.b', /a -> b -> a/],
  [{ custom_attributes: { a: { $template: '{nobody}' } } }, 'custom_attributes.a.$template', /nobody/],
  [{ custom_attributes: { a: { $unique: { $int: [1, 9] } } } }, 'custom_attributes.a.$unique', /./],
  [{ username_pattern: '{nobody}.{n}' }, 'username_pattern', /unknown placeholder/],
  [{ username_pattern: '{a}{n}', custom_attributes: { a: { $int: [1, 9] } } }, 'username_pattern', /same name/],
  [{ custom_attributes: { a: { $choice: Array(5_000).fill('a longer text') } } }, 'custom_attributes', /65536 bytes/],
  [{ role: { $int: [1, 2] } }, 'role', /text/],
  [{ password_hash: null }, 'password_hash', /JSON object/],
  [{ password: 'a\0b' }, 'password', /U\+0000/],
  [{ role: { $choice: ['x'.repeat(65)] } }, 'role', /64 characters/],
]

t.test('invalid generators are refused with their path, and nothing is written', async (t) => {
  const before = await sql`select count(*)::int from batches`
  for (const [config, path, message] of INVALID) {
    const { status, json } = await create(config, 10)
    t.match({ status, json }, { status: 400, json: { errors: [{ path: `body.config.${path}`, message }] } }, path)
    const shown = await call<Preview>('POST', '/v1/batches/preview', { body: { count: 10, config } })
    t.match(shown, { status: 200, json: { is_valid: false, errors: [{ path: /^body\.config/ }], users: [] } }, path)
  }
  t.strictSame(await sql`select count(*)::int from batches`, before)
})
