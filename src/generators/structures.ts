import { pathOf, readRange } from './arguments.ts'
import { type Generator, inside } from './compiler.ts'
import { laneOf } from './draws.ts'
import { ABSENT, anyOf, type Node } from './node.ts'
import { readProbability } from './numbers.ts'

/** Maximum number of elements of a list. */
const MAX_ELEMENTS = 100

/** `{"$maybe": 0.2, "of": …}`: present with the probability 0.2. */
export const maybe: Generator = {
  options: ['of'],
  compile(use, compiler) {
    const { options, place } = use
    const probability = readProbability(use, compiler)
    if (!('of' in options))
      return compiler.faults.add([...place.path, 'of'], 'required', 'is missing: the value, if there is one')
    const node = compiler.value(options['of'], inside(place, 'of'))
    if (probability === undefined || !node) return undefined
    const { fraction } = compiler.drawsAt(place)
    const { json, text } = node
    const isPresent = (n: number, lane: number) => fraction(n, lane, 0) < probability
    return {
      ...anyOf([node, ABSENT]),
      json: (n, lane) => (isPresent(n, lane) ? json(n, lane) : undefined),
      text: text && ((n, lane) => (isPresent(n, lane) ? text(n, lane) : undefined)),
    }
  },
}

/** `{"$list": …, "length": [0, 3]}`: a list whose length is in the range. Elements are separate draws; absent ones are left out. */
export const list: Generator = {
  options: ['length'],
  compile(use, compiler) {
    const { argument, options, place } = use
    const path = [...place.path, 'length']
    const expected = `[least, most]: how many elements, 0 to ${MAX_ELEMENTS}`
    const length = readRange(options['length'], path, compiler, expected)
    const element = compiler.value(argument, { path: pathOf(use), siblings: undefined })
    if (!length || !element) return undefined
    const { low, high } = length
    if (low < 0 || high > MAX_ELEMENTS) return compiler.faults.add(path, 'too_large', `expects ${expected}`)
    const { below } = compiler.drawsAt(place)
    const node: Node = {
      ...anyOf([element]),
      json: (n, lane) => {
        const count = low + below(high - low + 1, n, lane, 0)
        let text = ''
        for (let index = 0; index < count; index++) {
          const value = element.json(n, laneOf(lane, index))
          if (value !== undefined) text += (text === '' ? '[' : ',') + value
        }
        return text === '' ? '[]' : `${text}]`
      },
      text: undefined,
      texts: undefined,
      isText: false,
      canBeAbsent: false,
      maxBytes: '[]'.length + high * (element.maxBytes + ', '.length),
      cost: 1 + high * (element.cost + 1),
    }
    return node
  },
}
