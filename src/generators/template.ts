import { pathOf } from './arguments.ts'
import type { Compiler, Generator, Place } from './compiler.ts'
import { shown } from './faults.ts'
import { escaped, isAscii, maxTextBytes, mostOf, type Node, once, scalar } from './node.ts'

/**
 * `{"$template": "{first} {last}"}`: a text with attributes filled in, and the number of the user as `{n}`. `{{` and `}}` write
 * braces. An attribute that is absent or null is filled in as nothing.
 */
export const template: Generator = {
  options: [],
  compile(use, compiler) {
    const { argument, place } = use
    const path = pathOf(use)
    if (typeof argument !== 'string')
      return compiler.faults.add(path, 'invalid', 'expects a text, such as "{first} {last}"')
    const parts = splitTemplate(argument)
    if (!parts)
      return compiler.faults.add(path, 'invalid', 'has a brace without its partner; write {{ or }} for a brace itself')
    const nodes = parts.map((part) => nodeOf(part, place, path, compiler))
    const found = nodes.flatMap((node) => node ?? [])
    if (found.length < nodes.length) return undefined
    const writes = found.map((node) => node.text ?? (() => undefined))
    const isConstant = found.every((node) => node.isConstant)
    const text = (n: number, lane: number) => {
      let filled = ''
      for (const write of writes) filled += write(n, lane) ?? ''
      return filled
    }
    return scalar({
      text: isConstant ? once(text) : text,
      isText: true,
      isAscii: found.every((node) => node.isAscii),
      isConstant,
      maxTextBytes: found.reduce((sum, node) => sum + maxTextBytes(node), 0),
      cost: isConstant ? 1 : found.reduce((sum, node) => sum + node.cost, 1),
      depth: 1 + mostOf(found, (node) => node.depth),
    })
  },
}

type Part = { literal: string } | { name: string }

/** Splits a template at its names. Undefined if a brace has no partner. */
function splitTemplate(text: string): Part[] | undefined {
  const parts: Part[] = []
  for (const [whole, name, literal] of text.matchAll(/\{([^{}]+)\}|((?:\{\{|\}\}|[^{}])+)|./gs)) {
    if (name !== undefined) parts.push({ name })
    else if (literal !== undefined) parts.push({ literal: literal.replaceAll('{{', '{').replaceAll('}}', '}') })
    else if (whole !== '') return undefined
  }
  return parts
}

function nodeOf(part: Part, place: Place, path: readonly string[], compiler: Compiler): Node | undefined {
  if ('literal' in part) {
    const text = escaped(part.literal)
    const bounds = { maxTextBytes: Buffer.byteLength(text), isAscii: isAscii(text), isConstant: true, cost: 0 }
    return scalar({ text: () => text, isText: false, ...bounds })
  }
  if (part.name === 'n') {
    return scalar({ text: String, isText: false, maxTextBytes: String(compiler.settings.count).length, cost: 0 })
  }
  const node = compiler.lookUp(part.name, place, path)
  if (!node || node.text) return node
  return compiler.faults.add(
    path,
    'invalid',
    `names an object or array: ${shown(part.name)}; a template takes texts, numbers and booleans`,
  )
}
