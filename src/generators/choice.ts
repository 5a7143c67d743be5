import { pathOf } from './arguments.ts'
import { type Compiler, constant, type Generator, inside, type Use } from './compiler.ts'
import { anyOf, type Node, textOfAny } from './node.ts'

const MAX_EXPONENT = 10

/** Which item a user gets. */
type Pick = (n: number, lane: number) => number

/**
 * `{"$choice": ["a", "b"]}`: each item is equally likely, or as likely as its number in the option `weights`. `{"$choice": {"free": 7,
 * "gold": 2}}`: texts with weights. Items can be generators.
 */
export const choice: Generator = {
  options: ['weights'],
  compile(use, compiler) {
    const { argument, options, place } = use
    if (typeof argument === 'object' && argument !== null && !Array.isArray(argument)) return weighted(use, compiler)
    const items = readItems(argument, pathOf(use), compiler)
    if (!items) return undefined
    if (options['weights'] === undefined) {
      const { below } = compiler.drawsAt(place)
      const node = itemOf(items, inside(place, use.name), compiler, (n, lane) => below(items.length, n, lane, 0))
      return node && { ...node, ranked: rankedItems(items) }
    }
    const path = [...place.path, 'weights']
    const { weights } = options
    if (!Array.isArray(weights) || weights.length !== items.length) {
      return compiler.faults.add(path, 'invalid', `expects a list of ${items.length} weights, one for each item`)
    }
    const pick = pickBy(weights, path, use, compiler)
    return pick && itemOf(items, inside(place, use.name), compiler, pick)
  },
}

/** Texts in alphabetical order, because PostgreSQL's jsonb does not preserve the order of members. */
function weighted(use: Use, compiler: Compiler): Node | undefined {
  const weights = use.argument as Record<string, unknown>
  const texts = Object.keys(weights).toSorted()
  const pick = pickBy(
    texts.map((text) => weights[text]),
    pathOf(use),
    use,
    compiler,
  )
  return pick && oneOf(texts.map(constant), pick)
}

/** `{"$zipf": {"of": ["home", "cart"], "s": 1.1}}`: item k is as likely as 1 / k^s (Zipf's law). */
export const zipf: Generator = {
  options: [],
  compile(use, compiler) {
    const path = pathOf(use)
    const { of, s = 1, ...others } = Object(use.argument) as Record<string, unknown>
    if (Object.keys(others).length > 0 || typeof s !== 'number' || !(s >= 0 && s <= MAX_EXPONENT)) {
      const expected = `{"of": [items], "s": 1.1}; the exponent s is a number from 0 to ${MAX_EXPONENT}, 1 by default`
      return compiler.faults.add(path, 'invalid', `expects ${expected}`)
    }
    const items = readItems(of, [...path, 'of'], compiler)
    if (!items) return undefined
    // The last bit of Math.pow depends on the engine. Single precision drops it.
    const weights = items.map((_, index) => Math.fround((index + 1) ** -s))
    const pick = pickBy(weights, path, use, compiler)
    return pick && itemOf(items, inside(use.place, use.name, 'of'), compiler, pick)
  },
}

function readItems(argument: unknown, path: readonly string[], compiler: Compiler): readonly unknown[] | undefined {
  if (Array.isArray(argument) && argument.length > 0) return argument
  return compiler.faults.add(path, 'invalid', 'expects a list with at least one item')
}

/** Compiles the items, and returns the one that `pick` names. */
function itemOf(items: readonly unknown[], place: Use['place'], compiler: Compiler, pick: Pick): Node | undefined {
  const nodes = items.map((item, index) => compiler.value(item, inside(place, String(index))))
  return nodes.every((node) => node !== undefined) ? oneOf(nodes, pick) : undefined
}

function oneOf(nodes: readonly Node[], pick: Pick): Node {
  return {
    ...anyOf(nodes),
    json: (n, lane) => nodes[pick(n, lane)]?.json(n, lane),
    text: textOfAny(nodes, (n, lane) => nodes[pick(n, lane)]?.text?.(n, lane)),
  }
}

/** Texts or numbers that differ can be numbered. */
function rankedItems(items: readonly unknown[]): Node['ranked'] {
  const isText = typeof items[0] === 'string'
  if (!items.every((item) => typeof item === (isText ? 'string' : 'number'))) return undefined
  if (new Set(items).size < items.length) return undefined
  const texts = items.map((item) => constant(item).text?.(1, 0) ?? '')
  return { size: texts.length, text: (rank) => texts[rank] ?? '' }
}

/** Returns a function that picks an index as likely as its weight. Undefined after adding a fault for a weight at `path`. */
function pickBy(weights: readonly unknown[], path: readonly string[], use: Use, compiler: Compiler): Pick | undefined {
  const isWeight = (weight: unknown): weight is number => typeof weight === 'number' && weight >= 0
  if (!weights.every(isWeight))
    return compiler.faults.add(path, 'invalid', 'expects weights that are numbers, 0 or greater')
  let sum = 0
  const sums = weights.map((weight) => {
    sum += weight
    return sum
  })
  if (!(sum > 0) || sum === Number.POSITIVE_INFINITY) {
    return compiler.faults.add(path, 'invalid', `expects weights that add up to more than 0; they add up to ${sum}`)
  }
  const { fraction } = compiler.drawsAt(use.place)
  const last = sums.indexOf(sum)
  return (n, lane) => {
    const drawn = fraction(n, lane, 0) * sum
    let [low, high] = [0, last] // the first index with drawn < sums[index] is between them
    while (low < high) {
      const middle = (low + high) >>> 1
      if (drawn < (sums[middle] ?? sum)) high = middle
      else low = middle + 1
    }
    return low
  }
}
