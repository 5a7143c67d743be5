import { pathOf } from './arguments.ts'
import { type Compiler, type Generator, inside, type Use } from './compiler.ts'
import { ABSENT, anyOf, escaped, type Node, textOfAny } from './node.ts'

/** `{"$ref": "plan"}`: the same value as another attribute. Absent if that is absent. */
export const ref: Generator = {
  options: [],
  compile(use, compiler) {
    const node = readReference(use, compiler)
    return node && { ...node, cost: node.cost + 1, depth: node.depth + 1, ranked: undefined }
  },
}

/** `{"$case": "plan", "when": {"gold": …}, "else": …}`: a value for each value of another attribute. Absent if none fits. */
export const caseOf: Generator = {
  options: ['when', 'else'],
  compile(use, compiler) {
    const { place, options } = use
    const { when } = options
    const key = readReference(use, compiler)
    if (typeof when !== 'object' || when === null || Array.isArray(when)) {
      const expected = 'an object with a value for each value of the attribute'
      return compiler.faults.add([...place.path, 'when'], 'invalid', `expects ${expected}`)
    }
    const branches = Object.entries(when).map(
      ([text, raw]) => [text, compiler.value(raw, inside(place, 'when', text))] as const,
    )
    const otherwise = 'else' in options ? compiler.value(options['else'], inside(place, 'else')) : ABSENT
    const nodes = [...branches.map(([, node]) => node), otherwise].filter((node) => node !== undefined)
    if (!key || nodes.length < branches.length + 1) return undefined
    const keyText = key.text
    if (!keyText)
      return compiler.faults.add(
        pathOf(use),
        'invalid',
        'names an object or array; $case compares texts, numbers and booleans',
      )
    const byText = new Map(branches.flatMap(([text, node]) => (node ? [[escaped(text), node] as const] : [])))
    const branch = (n: number, lane: number) => {
      const text = keyText(n, lane)
      return (text === undefined ? undefined : byText.get(text)) ?? otherwise
    }
    const bounds = anyOf(nodes)
    return {
      ...bounds,
      json: (n, lane) => branch(n, lane)?.json(n, lane),
      text: textOfAny(nodes, (n, lane) => branch(n, lane)?.text?.(n, lane)),
      cost: bounds.cost + key.cost,
      depth: Math.max(bounds.depth, key.depth + 1),
    }
  },
}

function readReference(use: Use, compiler: Compiler): Node | undefined {
  const { argument, place } = use
  if (typeof argument === 'string') return compiler.lookUp(argument, place, pathOf(use))
  return compiler.faults.add(pathOf(use), 'invalid', 'expects the name of an attribute as text')
}
