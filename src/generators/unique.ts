import { pathOf } from './arguments.ts'
import { bijection } from './bijection.ts'
import { type Generator, inside } from './compiler.ts'

const EXPECTED =
  'expects $int, $decimal, $date, $uuid, $choice of different texts or numbers without weights, or a $pattern with one reading of each text'

/**
 * `{"$unique": {"$int": [100000, 999999]}}`: no two users have the same value. User n gets value number p(n), where p is a bijection
 * of the generator's values, so there is nothing to retry and nothing to remember.
 */
export const unique: Generator = {
  options: [],
  compile(use, compiler) {
    const { argument, place } = use
    const path = pathOf(use)
    const node = compiler.value(argument, inside(place, use.name))
    if (!node) return undefined
    if (place.path.includes('$list')) {
      return compiler.faults.add(
        path,
        'invalid',
        'stands in a $list, where one user has several values; use it outside',
      )
    }
    if (node.isDistinct) return node
    const { ranked } = node
    if (!ranked) return compiler.faults.add(path, 'invalid', EXPECTED)
    const { count } = compiler.settings
    if (ranked.size < count) {
      return compiler.faults.add(
        path,
        'too_few',
        `has ${ranked.size} different values for ${count} users; expects a larger range`,
      )
    }
    const rankOf = bijection(ranked.size, compiler.drawsAt(place))
    const text = (n: number, lane: number) => ranked.text(rankOf(n - 1), n, lane)
    return {
      ...node,
      text,
      json: node.isText ? (n, lane) => `"${text(n, lane)}"` : text,
      ranked: undefined,
      isDistinct: true,
      cost: node.cost + 1,
      depth: node.depth + 1,
    }
  },
}
