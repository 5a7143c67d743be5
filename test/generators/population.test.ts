import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { jsonbBytes } from '../../src/protocol/longest-line.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { everyGenerator } from './every-generator.ts'
import { compile, populationOf, valuesOf } from './make-population.ts'

const t = suite()

const usersOf = (attributes: object, seed = 'a seed', count = 200) => {
  const population = populationOf({ custom_attributes: attributes, seed, count })
  return Array.from({ length: count }, (_, index) => JSON.parse(population.attributesJson(index + 1)))
}

t.test('plain JSON stays constant, and $$ writes names that begin with $', (t) => {
  const plain = fc.object({
    withNullPrototype: false,
    maxDepth: 3,
    values: [fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean(), fc.constant(null)],
  })
  const property = fc.property(plain, (value) => {
    if (/"\$/.test(JSON.stringify(value))) return
    const population = populationOf({ custom_attributes: value })
    if (population.attributesJson(1) !== JSON.stringify(value) || !population.isConstant) t.fail(JSON.stringify(value))
  })
  fc.assert(property, { seed: 1 })
  const escaped = populationOf({ custom_attributes: { $$x: { $$int: [1], $$: 1, $$$y: 2 }, copy: { $ref: '$x' } } })
  const object = { $int: [1], $: 1, $$y: 2 }
  t.strictSame(JSON.parse(escaped.attributesJson(1)), { $x: object, copy: object })
  const proto = populationOf({
    custom_attributes: JSON.parse('{"__proto__": {"constructor": 1}, "r": {"$ref": "__proto__.constructor"}}'),
  })
  t.equal(proto.attributesJson(1), '{"__proto__":{"constructor":1},"r":1}')
  t.end()
})

t.test('a value follows from seed, path and n alone', (t) => {
  const order = fc.shuffledSubarray(Object.keys(everyGenerator))
  const whole = usersOf(everyGenerator)
  const property = fc.property(order, fc.string(), (names, seed) => {
    const part = Object.fromEntries(names.map((name) => [name, everyGenerator[name]]))
    const compiled = compile({ custom_attributes: { ...part, added: { $int: [0, 9] } } })
    if ('faults' in compiled) return // a reference to an attribute that is left out
    const n = 1 + (seed.length % 200)
    const { added, ...user } = JSON.parse(compiled.attributesJson(n))
    for (const [name, value] of Object.entries(user))
      if (!isDeepStrictEqual(value, whole[n - 1][name])) t.fail(`${name} of user ${n}`)
  })
  fc.assert(property, { seed: 1 })
  t.ok(isDeepStrictEqual(usersOf(everyGenerator, 'a seed', 100), whole.slice(0, 100)), 'the count changes nothing')
  t.notOk(isDeepStrictEqual(usersOf(everyGenerator, 'another seed'), whole), 'the seed does')
  t.end()
})

t.test('the order of weights changes nothing, as PostgreSQL does not keep it', (t) => {
  t.strictSame(valuesOf({ $choice: { a: 1, b: 2, 10: 3 } }, 100), valuesOf({ $choice: { b: 2, 10: 3, a: 1 } }, 100))
  t.end()
})

t.test('no value exceeds the bounds that are known before', (t) => {
  const population = populationOf({ custom_attributes: everyGenerator, count: 500 })
  let longest = 0
  for (let n = 1; n <= 500; n++) {
    longest = Math.max(longest, jsonbBytes(population.attributesJson(n)))
  }
  t.ok(longest <= population.maxAttributesBytes, `${longest} of ${population.maxAttributesBytes}`)
  const bounds: [unknown, number][] = [
    [{ $int: [-5, 100] }, 3],
    [{ $decimal: [0, 0.000002, 6] }, 8],
    [{ $decimal: [-10, 5, 2] }, 6],
    [{ $date: ['2024-01-01', '2024-01-02'] }, 12],
    [{ $seq: { start: -50, step: 1 } }, 3],
    [{ $choice: { '"': 1, ä: 1 } }, 4],
    [{ $template: '{{{n}}}' }, 8],
    [{ $pattern: '["€]' }, 5],
    [{ $maybe: 0.5, of: { $bool: 0.5 } }, 5],
    [1e30, 31],
  ]
  for (const [generator, bytes] of bounds) {
    const { maxAttributesBytes } = populationOf({ custom_attributes: { x: generator } })
    const frame = '{"x": }'.length
    t.ok(
      maxAttributesBytes - frame >= bytes && maxAttributesBytes - frame <= bytes + 2,
      `${JSON.stringify(generator)} ${maxAttributesBytes - frame}`,
    )
    for (const value of valuesOf(generator, sized(200, 1_000))) {
      if (
        value !== undefined &&
        !(typeof value === 'number' && value > 1e20) &&
        Buffer.byteLength(JSON.stringify(value)) > bytes
      ) {
        t.fail(`${JSON.stringify(generator)} makes ${value}`)
      }
    }
  }
  t.end()
})

t.test('references follow siblings, then top-level attributes and paths', (t) => {
  const attributes = {
    plan: { $choice: ['free', 'gold'] },
    address: {
      city: { $choice: ['A', 'B', 'C'] },
      label: { $template: '{city} {plan} {address.city}' },
      plan: 'nested',
    },
    copy: { $ref: 'address.city' },
    whole: { $ref: 'address' },
    'dotted.name': 7,
    dotted: { name: 8 },
    exact: { $ref: 'dotted.name' },
    limit: { $case: 'plan', when: { gold: { $int: [100, 200] } }, else: 10 },
    note: { $case: 'plan', when: { gold: 'yes' } },
    items: {
      $list: { sku: { $int: [1, 1e9] }, again: { $ref: 'sku' }, of: { $ref: 'plan' }, id: { $ref: 'id' } },
      length: [2, 2],
    },
    id: { $int: [1, 1e9] },
    rare: { $maybe: 0.5, of: 'x' },
    empty: { $template: '<{rare}{nothing}>' },
    nothing: null,
    none: { $ref: 'rare' },
  }
  for (const user of usersOf(attributes, 'a seed', sized(30, 200))) {
    t.equal(user.address.label, `${user.address.city} nested ${user.address.city}`)
    t.equal(user.copy, user.address.city)
    t.strictSame(user.whole, user.address)
    t.equal(user.exact, 7)
    t.ok(user.plan === 'gold' ? user.limit >= 100 && user.note === 'yes' : user.limit === 10 && !('note' in user))
    for (const item of user.items) t.ok(item.sku === item.again && item.of === user.plan && item.id === user.id)
    t.not(user.items[0].sku, user.items[1].sku)
    t.equal(user.empty, user.rare ? '<x>' : '<>')
    t.equal('none' in user, 'rare' in user)
  }
  t.end()
})

t.test('roles are known before, and can depend on attributes', (t) => {
  const attributes = { plan: { $choice: ['free', 'gold'] } }
  const role = { $case: 'plan', when: { gold: { $zipf: { of: ['owner', 'admin'] } } }, else: 'user' }
  const population = populationOf({ custom_attributes: attributes, role })
  t.strictSame(new Set(population.roles), new Set(['owner', 'admin', 'user']))
  t.notOk(population.isConstant)
  for (let n = 1; n <= 100; n++) {
    t.equal(JSON.parse(population.attributesJson(n)).plan === 'gold', population.role(n) !== 'user')
  }
  t.equal(populationOf({ role: 'x "quoted" ü' }).role(1), 'x "quoted" ü')
  t.end()
})

t.test('dates are those of the calendar', (t) => {
  const days = valuesOf({ $unique: { $date: ['0001-01-01', '0400-12-31'] } }, 5_000) as string[]
  t.ok(days.every((day) => new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)))
  const times = valuesOf(
    { $date: ['1969-12-31T23:00:00Z', '2100-03-01T01:00:00Z'], as: 'timestamp' },
    5_000,
  ) as string[]
  t.ok(times.every((time) => new Date(time).toISOString().replace('.000', '') === time))
  t.end()
})

t.test('UUIDs have the form of version 4', (t) => {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  for (const generator of [{ $uuid: true }, { $unique: { $uuid: true } }]) {
    t.ok(valuesOf(generator, 1_000).every((uuid) => form.test(String(uuid))))
  }
  t.end()
})
