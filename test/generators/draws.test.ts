import { drawsOf, laneOf } from '../../src/generators/draws.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { chiSquareLimit, chiSquareOf } from './chi-square.ts'

const t = suite()
const COUNT = sized(5_000, 50_000)
const SEEDS = ['one', 'two', 'three', '', '種']

/** Counts pairs of 4-bit numbers in a table of 256 cells. */
function cellsOf(count: number, pair: (index: number) => [number, number]): number[] {
  const cells = new Array<number>(256).fill(0)
  for (let index = 1; index <= count; index++) {
    const [a, b] = pair(index)
    const cell = (a & 15) * 16 + (b & 15)
    cells[cell] = (cells[cell] ?? 0) + 1
  }
  return cells
}

t.test('draws are even and do not depend on each other', (t) => {
  const pairs: Record<string, (seed: string) => (n: number) => [number, number]> = {
    'bits of one word': (seed) => {
      const { word } = drawsOf(seed, ['a'])
      return (n) => [word(n, 0, 0) >>> 28, word(n, 0, 0)]
    },
    'neighbouring users': (seed) => {
      const { word } = drawsOf(seed, ['a'])
      return (n) => [word(n, 0, 0), word(n + 1, 0, 0)]
    },
    'neighbouring draws of one user': (seed) => {
      const { word } = drawsOf(seed, ['a'])
      return (n) => [word(n, 0, 0), word(n, 0, 1)]
    },
    'elements of one list': (seed) => {
      const { word } = drawsOf(seed, ['a'])
      return (n) => [word(n, laneOf(0, 0), 0), word(n, laneOf(0, 1), 0)]
    },
    'paths that differ by a letter': (seed) => {
      const [a, b] = [drawsOf(seed, ['a']), drawsOf(seed, ['b'])]
      return (n) => [a.word(n, 0, 0), b.word(n, 0, 0)]
    },
    'seeds that differ by a letter': (seed) => {
      const [a, b] = [drawsOf(`${seed}1`, ['a']), drawsOf(`${seed}2`, ['a'])]
      return (n) => [a.word(n, 0, 0) >>> 28, b.word(n, 0, 0) >>> 28]
    },
    'indexes for one user': (seed) => {
      const { word } = drawsOf(seed, ['a'])
      return (n) => [word(7, 0, n), word(7, 0, n + 1) >>> 28]
    },
    'whole ranges': (seed) => {
      const { below } = drawsOf(seed, ['a'])
      return (n) => [below(16, n, 0, 0), below(16 * 65_536, n, 0, 1) / 65_536]
    },
  }
  for (const [name, pairOf] of Object.entries(pairs)) {
    for (const seed of SEEDS) {
      const chiSquare = chiSquareOf(cellsOf(COUNT, pairOf(seed)), new Array(256).fill(COUNT / 256))
      t.ok(chiSquare < chiSquareLimit(255), `${name}, seed ${seed}: ${chiSquare}`)
    }
  }
  t.end()
})

t.test('each bit of n, lane and index changes about half of the bits of a word', (t) => {
  const { word } = drawsOf('avalanche', ['a'])
  const ones = (bits: number) => bits.toString(2).replaceAll('0', '').length
  const changes: ((n: number, bit: number) => number)[] = [
    (n, bit) => word(n, 0, 0) ^ word(n ^ (1 << bit), 0, 0),
    (n, bit) => word(n, n, 0) ^ word(n, n ^ (1 << bit), 0),
    (n, bit) => word(5, 0, n) ^ word(5, 0, n ^ (1 << bit)),
  ]
  for (const change of changes) {
    for (let bit = 0; bit < 20; bit++) {
      let changed = 0
      for (let n = 1; n <= 500; n++) changed += ones(change(n, bit) >>> 0)
      t.ok(Math.abs(changed / 500 - 16) < 0.8, `bit ${bit}: ${changed / 500} of 32 bits`)
    }
  }
  t.end()
})

t.test('a fraction is below 1 and has 53 bits', (t) => {
  const { fraction, below } = drawsOf('fractions', ['a'])
  let odd = 0
  for (let n = 1; n <= 10_000; n++) {
    const drawn = fraction(n, 0, 0)
    if (!(drawn >= 0 && drawn < 1)) t.fail(`${drawn}`)
    odd += (drawn * 2 ** 53) % 2
    if (!(below(2 ** 53, n, 0, 1) < 2 ** 53)) t.fail('below 2^53')
  }
  t.ok(Math.abs(odd - 5_000) < 250, `${odd} of 10,000 have the last bit`)
  t.end()
})
