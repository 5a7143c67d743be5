import { pathOf, type Range, readInOrder, readRange } from './arguments.ts'
import { MAX_RANKS } from './bijection.ts'
import type { Compiler, Generator, Use } from './compiler.ts'
import { scalar } from './node.ts'

/** A number of up to 15 digits is the same text after `JSON.parse` and `JSON.stringify`, so clients can pass it on. */
const MAX_DIGITS = 15

/** With more places JavaScript writes small numbers with an exponent. */
const MAX_PLACES = 6

/** `{"$int": [18, 90]}`: each integer of the range is equally likely, both ends included. */
export const int: Generator = {
  options: [],
  compile(use, compiler) {
    const expected = 'two integers [low, high] that a double represents exactly'
    const range = readRange(use.argument, pathOf(use), compiler, expected)
    return range && stepsOf(range, { write: String, places: 0 }, use, compiler)
  },
}

/** `{"$decimal": [0, 999.99, 2]}`: a decimal with at most 2 places. Trailing zeros are not written. */
export const decimal: Generator = {
  options: [],
  compile(use, compiler) {
    const path = pathOf(use)
    const [low, high, places] = Array.isArray(use.argument) && use.argument.length === 3 ? use.argument : []
    if (
      typeof low !== 'number' ||
      typeof high !== 'number' ||
      !Number.isInteger(places) ||
      places < 0 ||
      places > MAX_PLACES
    ) {
      const expected = `[low, high, places]: two numbers and how many decimal places, 0 to ${MAX_PLACES}`
      return compiler.faults.add(path, 'invalid', `expects ${expected}`)
    }
    const scale = 10 ** places
    const range = { low: steps(low, places), high: steps(high, places) }
    if (Number.isNaN(range.low) || Number.isNaN(range.high)) {
      return compiler.faults.add(
        path,
        'invalid',
        `expects numbers of at most ${MAX_DIGITS} digits, ${places} of them decimal places`,
      )
    }
    // The quotient of two exact integers is the double nearest to the decimal, and its shortest text is the decimal.
    const write = (step: number) => String(step / scale)
    return readInOrder(range, use.argument, path, compiler) && stepsOf(range, { write, places }, use, compiler)
  },
}

/** Returns `number` as a multiple of 10^-places, NaN if it is none or has more than 15 digits. */
function steps(number: number, places: number): number {
  const [whole = '', fraction = ''] = String(number).split('.')
  if (fraction.length > places || String(number).includes('e')) return Number.NaN
  const scaled = Number(whole + fraction.padEnd(places, '0'))
  return Math.abs(scaled) < 10 ** MAX_DIGITS ? scaled + 0 : Number.NaN // + 0: not -0
}

/** A number for each integer of a range. */
function stepsOf(
  range: Range,
  form: { write: (step: number) => string; places: number },
  use: Use,
  compiler: Compiler,
) {
  const { low, high } = range
  const { write, places } = form
  const size = high - low + 1
  if (size > MAX_RANKS) return compiler.faults.add(pathOf(use), 'too_large', 'expects a range of at most 2^53 values')
  const { below } = compiler.drawsAt(use.place)
  return scalar({
    text: (n, lane) => write(low + below(size, n, lane, 0)),
    isText: false,
    maxTextBytes: Math.max(String(low).length, String(high).length, places + 1) + (places > 0 ? '-.'.length : 0),
    ranked: { size, text: (rank) => write(low + rank) },
  })
}

/** `{"$bool": 0.3}`: true with the probability 0.3. */
export const bool: Generator = {
  options: [],
  compile(use, compiler) {
    const probability = readProbability(use, compiler)
    if (probability === undefined) return undefined
    const { fraction } = compiler.drawsAt(use.place)
    const text = (n: number, lane: number) => (fraction(n, lane, 0) < probability ? 'true' : 'false')
    return scalar({ text, isText: false, maxTextBytes: 'false'.length, texts: ['true', 'false'] })
  },
}

/** Reads the argument as a number from 0 to 1. */
export function readProbability(use: Use, compiler: Compiler): number | undefined {
  const { argument } = use
  if (typeof argument === 'number' && argument >= 0 && argument <= 1) return argument
  return compiler.faults.add(pathOf(use), 'invalid', 'expects a probability from 0 to 1')
}

/** `{"$seq": {"start": 1000, "step": 1}}`: start for the first user, start + step for the second. Both are 1 by default. */
export const seq: Generator = {
  options: [],
  compile(use, compiler) {
    const path = pathOf(use)
    const expected = `expects {"start": 1000, "step": 1}, two integers; the step is not 0`
    const { argument } = use
    if (typeof argument !== 'object' || argument === null || Array.isArray(argument)) {
      return compiler.faults.add(path, 'invalid', expected)
    }
    const { start = 1, step = 1, ...others } = argument as Record<string, unknown>
    if (Object.keys(others).length > 0 || !Number.isSafeInteger(start) || !Number.isSafeInteger(step) || step === 0) {
      return compiler.faults.add(path, 'invalid', expected)
    }
    const [first, each] = [start as number, step as number]
    const last = first + (compiler.settings.count - 1) * each
    if (!Number.isSafeInteger(last)) {
      return compiler.faults.add(path, 'too_large', `reaches ${last}, which a double does not represent exactly`)
    }
    return scalar({
      text: (n) => String(first + (n - 1) * each),
      isText: false,
      maxTextBytes: Math.max(String(first).length, String(last).length),
      isDistinct: true,
    })
  },
}
