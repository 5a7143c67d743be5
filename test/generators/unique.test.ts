import fc from 'fast-check'
import { bijection, MAX_RANKS } from '../../src/generators/bijection.ts'
import { drawsOf } from '../../src/generators/draws.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { chiSquareLimit, chiSquareOf } from './chi-square.ts'
import { faultsOf, valuesOf } from './make-population.ts'

const t = suite()

t.test('a bijection reaches every number of its range once', (t) => {
  const property = fc.property(fc.integer({ min: 1, max: 1_000 }), fc.string(), (size, seed) => {
    const permute = bijection(size, drawsOf(seed, ['x']))
    const permuted = Array.from({ length: size }, (_, index) => permute(index))
    t.strictSame(
      permuted.toSorted((a, b) => a - b),
      Array.from({ length: size }, (_, index) => index),
    )
  })
  fc.assert(property, { seed: 1 })
  t.end()
})

t.test('a bijection of a vast range stays in it without a double', (t) => {
  const property = fc.property(fc.integer({ min: 2 ** 32, max: MAX_RANKS }), fc.string(), (size, seed) => {
    const permute = bijection(size, drawsOf(seed, ['x']))
    const indexes = Array.from({ length: 200 }, (_, index) => [index, size - 1 - index]).flat()
    const permuted = indexes.map(permute)
    t.equal(new Set(permuted).size, indexes.length)
    t.ok(permuted.every((number) => Number.isSafeInteger(number) && number >= 0 && number < size))
  })
  fc.assert(property, { numRuns: 20, seed: 1 })
  t.end()
})

t.test('the first numbers of a bijection are even over seeds and do not depend on each other', (t) => {
  const seeds = sized(960, 3_200)
  for (const size of [100, 3_652, 9_000_000_000]) {
    const cells = new Array<number>(64).fill(0)
    for (let seed = 0; seed < seeds; seed++) {
      const permute = bijection(size, drawsOf(String(seed), ['x']))
      const eighth = (index: number) => Math.floor((permute(index) * 8) / size)
      const cell = eighth(0) * 8 + eighth(1)
      cells[cell] = (cells[cell] ?? 0) + 1
    }
    // Eighths of 100 have 12 or 13 numbers, so this is not exactly even.
    const chiSquare = chiSquareOf(cells, new Array(64).fill(seeds / 64))
    t.ok(chiSquare < chiSquareLimit(63) * 1.2, `${size}: ${chiSquare}`)
  }
  t.end()
})

/** Generators with exactly the number of values that is given. */
const WHOLE: [number, unknown][] = [
  [73, { $int: [18, 90] }],
  [201, { $decimal: [-1, 1, 2] }],
  [366, { $date: ['2024-01-01', '2024-12-31'] }],
  [61, { $date: ['2024-01-01T00:00:00Z', '2024-01-01T00:01:00Z'], as: 'timestamp' }],
  [3, { $choice: ['free', 'gold', 'vip'] }],
  [3, { $choice: [1, 2.5, -3] }],
  [260, { $pattern: '[A-Z][0-9]' }],
  [39, { $pattern: '[abc]{1,3}' }],
  [18, { $pattern: 'x{0,2}-(1|2|3)(a|b)' }],
  [30, { $pattern: '[ab]{1,2}-([cd]|ef|"")?' }],
  [100, { $seq: { start: 5, step: -2 } }],
]

t.test('$unique reaches its whole range without a double, for any seed', (t) => {
  for (const [size, generator] of WHOLE) {
    for (const seed of ['one', 'two', '種']) {
      const values = valuesOf({ $unique: generator }, size, { seed })
      t.equal(new Set(values).size, size, JSON.stringify(generator))
    }
    if (JSON.stringify(generator).includes('$seq')) continue
    const faults = faultsOf({ count: size + 1, custom_attributes: { value: { $unique: generator } } })
    t.match(faults, [new RegExp(`has ${size} different values for ${size + 1} users`)], JSON.stringify(generator))
  }
  t.end()
})

t.test('$unique over vast ranges has no double among thousands of users', (t) => {
  const count = sized(1_000, 5_000)
  const vast = ['$uuid', '[A-Z0-9]{20}', '[a-z]{1,30}', '[ab]{300}', '([0-9a-f]{8}|[g-z]{9,60})', '[一-龥]{4}']
  for (const each of vast) {
    const generator = each === '$uuid' ? { $uuid: true } : { $pattern: each }
    t.equal(new Set(valuesOf({ $unique: generator }, count)).size, count, each)
  }
  t.end()
})

t.test('$unique is refused for generators whose values cannot be told apart', (t) => {
  const refused = [
    ...['a{1,2}a{1,2}', '(a|ab)(c|bc)', '(a|a)', '(a?){2}', '[ab]?[bc]', '([ab]|[bc])x'].map(($pattern) => ({
      $pattern,
    })),
    ...[
      { $choice: ['a', 'a'] },
      { $choice: { a: 1, b: 2 } },
      { $choice: ['a', 1] },
      { $bool: 0.5 },
      { $name: 'first' },
    ],
    ...[{ $choice: [{ $int: [1, 9] }] }, { $maybe: 0.5, of: { $int: [1, 9] } }, 'constant', { $ref: 'other' }],
  ]
  for (const generator of refused) {
    const faults = faultsOf({ count: 1, custom_attributes: { other: { $int: [1, 9] }, value: { $unique: generator } } })
    t.match(faults, [/^custom_attributes.value.\$unique expects \$int, /], JSON.stringify(generator))
  }
  t.match(faultsOf({ custom_attributes: { value: { $list: { $unique: { $int: [1, 9999] } }, length: [1, 2] } } }), [
    /^custom_attributes.value.\$list.\$unique stands in a \$list/,
  ])
  t.end()
})
