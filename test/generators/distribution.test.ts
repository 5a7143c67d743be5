import type { Test } from 'tap'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { chiSquareLimit, chiSquareOf } from './chi-square.ts'
import { populationOf, valuesOf } from './make-population.ts'

const t = suite()
const SEEDS = sized(['one', '種'], ['one', '', '種'])
const COUNT = sized(2_000, 10_000)

/** Checks over all seeds that the values of a generator are as frequent as their weights. */
function isSpread(t: Test, generator: unknown, weights: Record<string, number>): void {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0)
  for (const seed of SEEDS) {
    const counts = new Map(Object.keys(weights).map((name) => [name, 0]))
    for (const value of valuesOf(generator, COUNT, { seed })) {
      const name = String(value)
      if (!counts.has(name)) t.fail(`${JSON.stringify(generator)} makes ${name}`)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    const expected = Object.values(weights).map((weight) => (COUNT * weight) / total)
    const chiSquare = chiSquareOf([...counts.values()], expected)
    t.ok(chiSquare < chiSquareLimit(expected.length - 1), `${JSON.stringify(generator)}, seed ${seed}: ${chiSquare}`)
  }
}

const evenly = (names: (string | number)[]) => Object.fromEntries(names.map((name) => [name, 1]))
const integers = (low: number, high: number) => Array.from({ length: high - low + 1 }, (_, index) => low + index)

t.test('weights decide how frequent values are', (t) => {
  isSpread(t, { $choice: { free: 7, gold: 2, vip: 1 } }, { free: 7, gold: 2, vip: 1 })
  isSpread(t, { $choice: ['a', 'b', 'c'] }, evenly(['a', 'b', 'c']))
  isSpread(t, { $choice: [1, 2.5, true], weights: [0.5, 0.25, 0.25] }, { 1: 2, 2.5: 1, true: 1 })
  isSpread(t, { $bool: 0.3 }, { true: 3, false: 7 })
  t.strictSame(new Set(valuesOf({ $choice: { never: 0, always: 1, 'not at all': 0 } }, 1_000)), new Set(['always']))
  t.strictSame(new Set(valuesOf({ $bool: 0 }, 1_000)), new Set([false]))
  t.strictSame(new Set(valuesOf({ $bool: 1 }, 1_000)), new Set([true]))
  t.end()
})

t.test('every value of a range is equally likely, both ends included', (t) => {
  isSpread(t, { $int: [18, 90] }, evenly(integers(18, 90)))
  isSpread(t, { $int: [-3, 3] }, evenly(integers(-3, 3)))
  isSpread(t, { $decimal: [-0.05, 0.05, 2] }, evenly(integers(-5, 5).map((step) => step / 100)))
  isSpread(
    t,
    { $date: ['2024-02-27', '2024-03-02'] },
    evenly(['02-27', '02-28', '02-29', '03-01', '03-02'].map((day) => `2024-${day}`)),
  )
  isSpread(
    t,
    { $date: ['2024-12-31T23:59:58Z', '2025-01-01'], as: 'timestamp' },
    evenly(['2024-12-31T23:59:58Z', '2024-12-31T23:59:59Z', '2025-01-01T00:00:00Z']),
  )
  t.end()
})

t.test('parts of a pattern are drawn evenly and separately', (t) => {
  const quarter = (letter: string) => ({ [letter]: 3, [`${letter}x`]: 1, [`${letter}y`]: 1, [`${letter}z`]: 1 })
  isSpread(t, { $pattern: '[ab](x|y|z)?' }, { ...quarter('a'), ...quarter('b') })
  isSpread(t, { $pattern: '[0-1]{1,2}' }, { 0: 2, 1: 2, '00': 1, '01': 1, 10: 1, 11: 1 })
  t.end()
})

t.test('items of $zipf follow the law of Zipf', (t) => {
  const items = integers(1, 50)
  for (const s of [0, 0.8, 1.1, 2]) {
    isSpread(
      t,
      { $zipf: { of: items.slice(0, 10), s } },
      Object.fromEntries(items.slice(0, 10).map((k) => [k, k ** -s])),
    )
    const counts = new Map<unknown, number>()
    for (const value of valuesOf({ $zipf: { of: items, s } }, 2 * COUNT))
      counts.set(value, (counts.get(value) ?? 0) + 1)
    // The slope of log count over log rank, by least squares over the ten most frequent items.
    const points = items.slice(0, 10).map((k) => [Math.log(k), Math.log(counts.get(k) ?? 1)] as const)
    const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length
    const [x, y] = [mean(0), mean(1)]
    const slope =
      points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0)
    t.ok(Math.abs(slope + s) < 0.1, `slope ${slope} for s ${s}`)
  }
  t.end()
})

t.test('$maybe is present as often as it says, and so are the lengths of lists', (t) => {
  isSpread(t, { $maybe: 0.2, of: 'here' }, { here: 2, undefined: 8 })
  t.strictSame(new Set(valuesOf({ $maybe: 0, of: 'here' }, 1_000)), new Set([undefined]))
  t.strictSame(new Set(valuesOf({ $maybe: 1, of: 'here' }, 1_000)), new Set(['here']))
  for (const seed of SEEDS) {
    const lengths = [0, 0, 0, 0]
    const elements = [0, 0, 0]
    for (const list of valuesOf({ $list: { $int: [0, 2] }, length: [0, 3] }, COUNT, { seed }) as number[][]) {
      lengths[list.length] = (lengths[list.length] ?? 0) + 1
      for (const element of list) elements[element] = (elements[element] ?? 0) + 1
    }
    t.ok(chiSquareOf(lengths, new Array(4).fill(COUNT / 4)) < chiSquareLimit(3), `lengths ${lengths}`)
    const all = elements.reduce((sum, count) => sum + count, 0)
    t.ok(chiSquareOf(elements, new Array(3).fill(all / 3)) < chiSquareLimit(2), `elements ${elements}`)
  }
  t.end()
})

t.test('attributes beside each other and elements of a list do not depend on each other', (t) => {
  for (const seed of SEEDS) {
    const digit = { $int: [0, 9] }
    const attributes = { a: digit, b: digit, list: { $list: digit, length: [2, 2] }, object: { a: digit } }
    const population = populationOf({ seed, count: COUNT, custom_attributes: attributes })
    const tables = [0, 1, 2].map(() => new Array<number>(100).fill(0))
    for (let n = 1; n <= COUNT; n++) {
      const { a, b, list, object } = JSON.parse(population.attributesJson(n))
      for (const [index, cell] of [a * 10 + b, list[0] * 10 + list[1], a * 10 + object.a].entries()) {
        const table = tables[index] ?? []
        table[cell] = (table[cell] ?? 0) + 1
      }
    }
    for (const table of tables) {
      const chiSquare = chiSquareOf(table, new Array(100).fill(COUNT / 100))
      t.ok(chiSquare < chiSquareLimit(99), `seed ${seed}: ${chiSquare}`)
    }
  }
  t.end()
})

t.test('any part of a batch has about the mix of the whole', (t) => {
  for (const seed of SEEDS) {
    const values = valuesOf({ $choice: { free: 7, gold: 2, vip: 1 } }, COUNT, { seed })
    for (let start = 0; start < COUNT; start += 500) {
      const part = values.slice(start, start + 500)
      const counts = ['free', 'gold', 'vip'].map((plan) => part.filter((value) => value === plan).length)
      const chiSquare = chiSquareOf(counts, [350, 100, 50])
      t.ok(chiSquare < chiSquareLimit(2), `seed ${seed}, users from ${start}: ${counts}`)
    }
  }
  t.end()
})
