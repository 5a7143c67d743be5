import fc from 'fast-check'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { compile, faultsOf, populationOf } from './make-population.ts'

const t = suite()

const nested = (levels: number, around: (inner: unknown) => unknown) => {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = around(value)
  return value
}

/** Attributes with one fault each, the path of the fault after `custom_attributes.`, and what its message says. */
const REFUSED: [attributes: Record<string, unknown>, path: string, message: RegExp][] = [
  [{ a: { $chioce: ['x'] } }, 'a.$chioce', /no generator. Did you mean \$choice\?/],
  [{ a: { $salary: 5 } }, 'a.$salary', /no generator. Known: \$choice, .*written with \$\$/],
  [{ a: { $int: [1, 2], $bool: 1 } }, 'a', /two generators, \$int and \$bool/],
  [{ a: { $int: [1, 2], min: 1 } }, 'a.min', /no option of \$int/],
  [{ a: { $date: ['0000-01-01', '2026-01-01'] } }, 'a.$date', /dates .* of the calendar/],
  [{ a: { $date: ['2024-01-01', '2024-01-02'], sa: 'date' } }, 'a.sa', /no option of \$date. Known: as/],
  [{ a: { $name: 'first', locale: 'jaa' } }, 'a.locale', /no known locale. Did you mean ja\?/],
  [{ a: { $name: 'first', locale: 7 } }, 'a.locale', /no known locale. Known: en, de, fr, es, pt_BR, ja, zh_CN, ar/],
  [{ a: { $name: 'middle' } }, 'a.$name', /one of first, last, full/],
  [{ a: { $place: true } }, 'a.$place', /one of city, country, postcode, street/],
  [{ a: { $phone: 1 } }, 'a.$phone', /expects {"\$phone": true}/],
  [{ a: { $uuid: false } }, 'a.$uuid', /expects {"\$uuid": true}/],
  [{ a: { $choice: [] } }, 'a.$choice', /at least one item/],
  [{ a: { $choice: 'x' } }, 'a.$choice', /at least one item/],
  [{ a: { $choice: { x: -1, y: 2 } } }, 'a.$choice', /numbers, 0 or greater/],
  [{ a: { $choice: { x: '1' } } }, 'a.$choice', /numbers, 0 or greater/],
  [{ a: { $choice: { x: 0 } } }, 'a.$choice', /add up to 0/],
  [{ a: { $choice: {} } }, 'a.$choice', /add up to 0/],
  [{ a: { $choice: { x: 1e308, y: 1e308 } } }, 'a.$choice', /add up to Infinity/],
  [{ a: { $choice: ['x', 'y'], weights: [1] } }, 'a.weights', /a list of 2 weights/],
  [{ a: { $choice: ['x', { $int: 5 }] } }, 'a.$choice.1.$int', /two integers/],
  [{ a: { $int: [90, 18] } }, 'a.$int', /turned round: the first of \[90,18\]/],
  [{ a: { $int: [1.5, 2] } }, 'a.$int', /two integers/],
  [{ a: { $int: [0, 2 ** 53] } }, 'a.$int', /represents exactly/],
  [{ a: { $int: [1 - 2 ** 53, 2 ** 53 - 1] } }, 'a.$int', /at most 2\^53 values/],
  [{ a: { $decimal: [1, 2] } }, 'a.$decimal', /\[low, high, places\]/],
  [{ a: { $decimal: [1, 2, 7] } }, 'a.$decimal', /places, 0 to 6/],
  [{ a: { $decimal: [0.001, 2, 2] } }, 'a.$decimal', /2 of them decimal places/],
  [{ a: { $decimal: [0, 1e15, 2] } }, 'a.$decimal', /at most 15 digits/],
  [{ a: { $decimal: [2, 1, 2] } }, 'a.$decimal', /turned round/],
  [{ a: { $bool: 1.1 } }, 'a.$bool', /probability from 0 to 1/],
  [{ a: { $seq: { start: 1, step: 0 } } }, 'a.$seq', /step is not 0/],
  [{ a: { $seq: { first: 1 } } }, 'a.$seq', /expects {"start"/],
  [{ a: { $seq: { start: 2 ** 53 - 1 } } }, 'a.$seq', /reaches 9007199254741990/],
  [{ a: { $date: ['2024-02-30', '2024-03-01'] } }, 'a.$date', /dates .* of the calendar/],
  [{ a: { $date: ['2024-01-01T00:00:00Z', '2024-03-01'] } }, 'a.$date', /such as 2026-01-31$/],
  [{ a: { $date: ['2024-03-01', '2024-01-01'] } }, 'a.$date', /turned round/],
  [{ a: { $date: ['2024-01-01', '2024-01-02'], as: 'dates' } }, 'a.as', /Did you mean date\?/],
  [{ a: { $pattern: '[a-z]+' } }, 'a.$pattern', /no upper bound/],
  [{ a: { $pattern: 'x{1001}' } }, 'a.$pattern', /up to 1001 characters; the maximum is 1000/],
  [{ a: { $template: '{frist}' }, first: 'x' }, 'a.$template', /names no attribute: frist. Did you mean first\?/],
  [{ a: { $template: 'x}' } }, 'a.$template', /brace without its partner/],
  [{ a: { $template: '{b}' }, b: [] }, 'a.$template', /object or array: b/],
  [{ a: { $ref: 'nothing' } }, 'a.$ref', /names no attribute: nothing/],
  [{ a: { $ref: 'toString' } }, 'a.$ref', /names no attribute: toString/],
  [{ a: { $ref: 'b.c' }, b: { d: 1 } }, 'a.$ref', /names no attribute: b.c/],
  [{ a: { $ref: 'a' } }, 'a', /circle of references: a -> a/],
  [
    { a: { $ref: 'b' }, b: { $template: '{c}' }, c: { $case: 'a', when: {} } },
    'c',
    /circle of references: a -> b -> c -> a/,
  ],
  [{ a: { x: { $ref: 'a' } } }, 'a.x', /circle of references: a -> a.x -> a/],
  [{ a: { $case: 'b', when: [] }, b: 1 }, 'a.when', /an object with a value for each/],
  [{ a: { $case: 'b', when: {} }, b: {} }, 'a.$case', /compares texts, numbers and booleans/],
  [{ a: { $case: 'b', when: { x: { $int: 1 } } }, b: 1 }, 'a.when.x.$int', /two integers/],
  [{ a: { $maybe: 0.5 } }, 'a.of', /is missing/],
  [{ a: { $maybe: 2, of: 1 } }, 'a.$maybe', /probability/],
  [{ a: { $zipf: { of: ['x'], s: -1 } } }, 'a.$zipf', /from 0 to 10/],
  [{ a: { $zipf: { s: 1 } } }, 'a.$zipf.of', /at least one item/],
  [{ a: { $zipf: null } }, 'a.$zipf.of', /at least one item/],
  [{ a: { $list: 1 } }, 'a.length', /\[least, most\]/],
  [{ a: { $list: 1, length: [0, 101] } }, 'a.length', /0 to 100/],
  [{ a: { $list: 1, length: [3, 2] } }, 'a.length', /turned round/],
  [{ a: { $unique: { $int: [1, 999] } } }, 'a.$unique', /999 different values for 1000 users/],
  [{ a: nested(10_000, (inner) => ({ a: inner })) }, Array(100).fill('a').join('.'), /deeper than 100 levels/],
  [{ a: nested(10_000, (inner) => [inner]) }, `a${'.0'.repeat(99)}`, /deeper than 100 levels/],
  [{ a: nested(10_000, (inner) => ({ $maybe: 1, of: inner })) }, `a${'.of'.repeat(99)}`, /deeper than 100 levels/],
  [
    { a: nested(4, (inner) => ({ $list: inner, length: [100, 100] })) },
    '',
    /values for one user; the maximum is 10000/,
  ],
  [{ a: 'x'.repeat(70_000) }, '', /at most 65536 bytes.*; has 70009$/],
  [{ a: { $choice: ['x', 'x'.repeat(70_000)] } }, '', /at most 65536 bytes.*; can have 70009$/],
  [{ $choice: [{}, {}] }, '', /object of attributes/],
]

t.test('each fault has its path and a sentence that helps, and nothing else is said', (t) => {
  for (const [custom_attributes, path, message] of REFUSED) {
    const result = compile({ custom_attributes })
    const faults = 'faults' in result ? result.faults : []
    const about = `${path} ${message}`
    // Too many values for one user are too many bytes, too.
    t.ok(faults.length === 1 || about.includes('for one user'), `${faults.length} faults: ${about}`)
    t.equal(faults[0]?.path, path === '' ? 'custom_attributes' : `custom_attributes.${path}`, about)
    t.match(faults[0]?.message, message)
  }
  t.end()
})

t.test('all faults are found at once, at most 20, with role and locale', (t) => {
  const faults = faultsOf({
    role: { $int: [1, 2] },
    locale: 'De',
    custom_attributes: { a: { $int: [2, 1] }, b: { c: { $bool: 'x' }, d: { $nothing: 1 } } },
    username_pattern: '{who}.{n}',
  })
  t.strictSame(
    faults.map((fault) => fault.split(' ')[0]),
    [
      'locale',
      'custom_attributes.a.$int',
      'custom_attributes.b.c.$bool',
      'custom_attributes.b.d.$nothing',
      'role',
      'username_pattern',
    ],
  )
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`a${index}`, { $int: 1 }]))
  t.equal(faultsOf({ custom_attributes: many }).length, 20)
  for (const custom_attributes of [null, [], 'x', 5]) {
    t.match(faultsOf({ custom_attributes }), [/^custom_attributes expects an object/])
  }
  for (const role of [5, null, {}, ['x'], { $maybe: 0.5, of: 'x' }, { $choice: [1, 'x'] }, { $pattern: '[a-z]' }]) {
    t.match(faultsOf({ role }), [/^role expects a text/], JSON.stringify(role))
  }
  t.end()
})

t.test('long chains of references are refused in any order, and short ones are not', (t) => {
  const chain = (length: number) =>
    Array.from({ length }, (_, index) => [`a${index}`, index === 0 ? 1 : { $ref: `a${index - 1}` }] as const)
  for (const entries of [chain(500), chain(500).toReversed()]) {
    t.match(faultsOf({ custom_attributes: Object.fromEntries(entries) })[0], /over more than 100 levels/)
  }
  for (const entries of [chain(30), chain(30).toReversed()]) {
    t.strictSame(faultsOf({ custom_attributes: Object.fromEntries(entries) }), [])
  }
  const doubling = chain(31).map(([name], index) => [
    name,
    index === 0 ? { $choice: ['', ''] } : { $template: `{a${index - 1}}{a${index - 1}}` },
  ])
  t.match(faultsOf({ custom_attributes: Object.fromEntries(doubling) }), [/values for one user/])
  const empty = doubling.slice(0, 28).map(([name, attribute], index) => [name, index === 0 ? '' : attribute])
  const { user } = process.cpuUsage()
  populationOf({ custom_attributes: Object.fromEntries(empty) }).attributesJson(1)
  t.ok(process.cpuUsage().user - user < 1_000_000, 'constants are written once')
  const constants = doubling.map(([name, attribute], index) => [name, index === 0 ? 'x' : attribute])
  t.match(faultsOf({ custom_attributes: Object.fromEntries(constants) }), [/can have|has \d+/])
  t.end()
})

/** Values that are nearly settings: generators with arguments and options of all kinds. */
const { value } = fc.letrec<{ value: unknown }>((tie) => {
  const name = fc.constantFrom(
    ...'$choice $int $decimal $bool $seq $date $name $place $phone $pattern $uuid $template $ref'.split(' '),
    ...'$maybe $case $zipf $list $unique $x $$x'.split(' '),
  )
  const option = fc.constantFrom(
    'of',
    'when',
    'else',
    'length',
    'as',
    'locale',
    'weights',
    's',
    'start',
    'step',
    '__proto__',
  )
  const fitting = fc.constantFrom<unknown>(
    [1, 5],
    [0, 3],
    [5, 1],
    ['2024-01-01', '2024-02-01'],
    'first',
    'city',
    true,
    0.5,
    'a',
    '{a}{n}',
    '[a-z]{3}',
    { a: 1, b: 2 },
    { start: 5 },
    [0, 9.5, 1],
  )
  const generator = fc
    .tuple(
      name,
      fc.oneof(fitting, tie('value')),
      fc.array(fc.tuple(option, fc.oneof(fitting, tie('value'))), { maxLength: 2 }),
    )
    .map(([key, argument, options]) => JSON.parse(JSON.stringify(Object.fromEntries([[key, argument], ...options]))))
  const members = fc.dictionary(fc.constantFrom('a', 'b', 'c', '$$d'), tie('value'), { maxKeys: 3 })
  return {
    value: fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue(),
      generator,
      generator,
      fc.array(tie('value'), { maxLength: 3 }),
      members,
    ),
  }
})

t.test(
  'any JSON is compiled or refused with a path, in bounded time, and what is compiled makes JSON within its bounds',
  (t) => {
    let compiled = 0
    const attributes = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', '$e'), value, { maxKeys: 4 })
    const pattern = fc.oneof(fc.constantFrom('{a}.{n}', '{a}{b}', '{n}'), fc.string())
    const property = fc.property(attributes, value, pattern, (custom_attributes, role, username_pattern) => {
      const result = compile({ custom_attributes, role: { $choice: ['x', role] }, username_pattern, count: 5 })
      const plain = compile({ custom_attributes, count: 5 })
      for (const fault of 'faults' in result ? result.faults : []) {
        if (!/^(custom_attributes|role|username_pattern)/.test(fault.path) || fault.message.length > 600)
          t.fail(JSON.stringify(fault))
      }
      if ('faults' in result && result.faults.length === 0) t.fail('neither a population nor a fault')
      for (const population of [result, plain]) {
        if ('faults' in population) continue
        compiled++
        for (let n = 1; n <= 5; n++) {
          JSON.parse(population.attributesJson(n))
          const name = population.usernamePattern(n)
          if (name.length > population.longestUsernamePattern.length) t.fail(`${name} is longer than known`)
          if (!population.roles.includes(population.role(n))) t.fail(`role ${population.role(n)} is not known`)
        }
      }
    })
    fc.assert(property, { numRuns: sized(100, 1_000), seed: 1 })
    t.ok(compiled > sized(15, 150), `${compiled} compiled`)
    t.end()
  },
)

t.test('settings of up to 1 MiB are compiled or refused in bounded time', (t) => {
  const part = sized(0.05, 1)
  const many = (text: string) => text.repeat(Math.floor((part * 1_000_000) / text.length))
  const settings: Record<string, unknown>[] = [
    { a: { $template: many('{b}') }, b: 'x' },
    { a: { $pattern: many('[a-z]') } },
    { a: { $choice: Array(part * 200_000).fill('x') } },
    { a: { $choice: Object.fromEntries(Array.from({ length: part * 80_000 }, (_, index) => [`text${index}`, 1])) } },
    Object.fromEntries(Array.from({ length: part * 60_000 }, (_, index) => [`a${index}`, { $int: [0, 1] }])),
    Object.fromEntries(Array.from({ length: part * 40_000 }, (_, index) => [`a${index}`, { $ref: `b${index}` }])),
    Object.fromEntries(
      Array.from({ length: part * 999 }, (_, index) => [
        `a${index}`,
        { $pattern: `(${'([a-z0-9]{2}x){9}|'.repeat(12)}y){9}` },
      ]),
    ),
    { [many('x')]: { $ref: many('y') } },
  ]
  for (const custom_attributes of settings) {
    const start = process.cpuUsage()
    const result = compile({ custom_attributes })
    const { user } = process.cpuUsage(start)
    t.ok(user < sized(2_000_000, 5_000_000), `${Object.keys(custom_attributes).length} attributes: ${user / 1000} ms`)
    const faults = 'faults' in result ? result.faults : []
    t.ok(faults.every(({ path, message }) => path.length + message.length < 1_000))
  }
  t.end()
})
