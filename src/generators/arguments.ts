import type { Compiler, Use } from './compiler.ts'

/** A range of integers, both ends included. */
export interface Range {
  low: number
  high: number
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value)

/** Reads `[low, high]`. `expected` describes it. Returns undefined after adding a fault at `path`. */
export function readRange(
  argument: unknown,
  path: readonly string[],
  compiler: Compiler,
  expected: string,
): Range | undefined {
  const [low, high] = Array.isArray(argument) && argument.length === 2 ? argument : []
  if (!isInteger(low) || !isInteger(high)) return compiler.faults.add(path, 'invalid', `expects ${expected}`)
  return readInOrder({ low, high }, argument, path, compiler)
}

/** Checks that a range is not turned round. `given` is what the request contains. */
export function readInOrder(
  range: Range,
  given: unknown,
  path: readonly string[],
  compiler: Compiler,
): Range | undefined {
  if (range.low <= range.high) return range
  return compiler.faults.add(
    path,
    'invalid',
    `is turned round: the first of ${JSON.stringify(given)} must not exceed the second`,
  )
}

/** The path of a generator's argument, for faults. */
export const pathOf = (use: Use): readonly string[] => [...use.place.path, use.name]

/** Reads the argument of a generator that needs none. */
export function readTrue(use: Use, compiler: Compiler): true | undefined {
  return use.argument === true || compiler.faults.add(pathOf(use), 'invalid', `expects {"${use.name}": true}`)
}
