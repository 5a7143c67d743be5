import { memoize } from '../process/memoize.ts'
import type { Compiler } from './compiler.ts'
import { known, shown } from './faults.ts'
import { isLocale, type LocaleName } from './locales.ts'
import { maxTextBytes, type Node, plainText } from './node.ts'
import { toAsciiName } from './transliterate.ts'

/** The usernames of a population, as far as attributes decide them. */
export interface Usernames {
  /** Fills attributes of user `n` into the pattern. `{id}`, `{n}` and `{batch}` remain. */
  fill: (n: number) => string
  /** The pattern with the longest text of each attribute, to check lengths. */
  longest: string
  /** Whether the pattern names no attribute. */
  isConstant: boolean
}

/** Placeholders that the caller fills in. */
const OTHERS = ['id', 'n', 'batch']

/** Longer texts are cut: mail servers accept 64 characters before the @ (RFC 5321, section 4.5.3.1.1). */
const MAX_CHARACTERS = 64

/** Number of written names that are kept. A population has fewer first and last names. */
const MAX_KEPT = 20_000

type Part = { literal: string } | { name: string; node?: Node }

/** Compiles a username pattern. Attributes are written in `[a-z0-9._-]`. Returns undefined after adding a fault. */
export function compileUsernames(pattern: string, compiler: Compiler): Usernames | undefined {
  const path = ['username_pattern']
  const parts: Part[] = []
  for (const [literal, name] of pattern.matchAll(/\{([^{}]*)\}|[^{}]+|./gs)) {
    if (name === undefined) parts.push({ literal })
    else if (OTHERS.includes(name)) parts.push({ name })
    else {
      const node = readAttribute(name, path, compiler)
      if (!node) return undefined
      parts.push({ name, node })
    }
  }
  if (!tellsUsersApart(parts)) {
    const message =
      'could make the same name for two users: {n} or {id} needs to be first or last, with a character that is no digit between it and the attributes, as in {first}.{last}.{n}'
    return compiler.faults.add(path, 'pattern_invalid', message)
  }
  const inherited = isLocale(compiler.settings.locale) ? compiler.settings.locale : 'en'
  const written = (text: string, { locale = inherited }: Node) => write(`${locale} ${text}`)
  const write = memoize((key) => {
    const end = key.indexOf(' ')
    return namePart(toAsciiName(key.slice(end + 1), key.slice(0, end) as LocaleName))
  }, MAX_KEPT)
  const fill = (n: number) => {
    let text = ''
    for (const part of parts)
      text +=
        'literal' in part ? part.literal : part.node ? written(plainText(part.node, n), part.node) : `{${part.name}}`
    return text
  }
  const longest = parts.map((part) => {
    if ('literal' in part) return part.literal
    return part.node ? 'x'.repeat(longestOf(part.node, written)) : `{${part.name}}`
  })
  return { fill, longest: longest.join(''), isConstant: parts.every((part) => 'literal' in part || !part.node) }
}

function readAttribute(name: string, path: readonly string[], compiler: Compiler): Node | undefined {
  const wrong = (message: string) => compiler.faults.add(path, 'pattern_invalid', message)
  const found = compiler.find(name)
  if (!found) {
    const names = [...OTHERS, ...compiler.attributeNames()]
    return wrong(`has the unknown placeholder {${shown(name)}}.${known(name, names)}`)
  }
  const node = compiler.attribute(found.raw, found.place)
  if (!node) return undefined
  if (!node.text) return wrong(`names the object or list {${shown(name)}}; usernames take texts, numbers and booleans`)
  if (node.canBeAbsent) return wrong(`names {${shown(name)}}, which some users do not have`)
  return node
}

/**
 * Whether different numbers always make different names. Attributes contain digits and `.`, `_` and `-`, so `{first}{n}` does not
 * (`a1` and 2, `a` and 12), nor does `{first}.{n}.{last}`. Other characters, such as @, end what an attribute can be.
 */
function tellsUsersApart(parts: readonly Part[]): boolean {
  const names = parts.flatMap((part) => ('name' in part ? part : []))
  if (names.every(({ node }) => !node)) return true
  const number = names.some(({ name }) => name === 'id') ? 'id' : 'n'
  if (!names.some(({ name }) => name === number)) return true // the caller refuses this for more than one user
  return parts.some((part, index) => {
    if (!('name' in part) || part.name !== number) return false
    const sides = [sideOf(parts.slice(0, index).toReversed()), sideOf(parts.slice(index + 1))]
    return sides.includes('free') && !sides.includes('adjacent')
  })
}

/** What comes after a number on one side: no attribute, an attribute after a separator, or directly an attribute. */
function sideOf(parts: readonly Part[]): 'free' | 'separated' | 'adjacent' {
  let isSeparated = false
  for (const part of parts) {
    if ('literal' in part && /[^a-z0-9._-]/.test(part.literal)) return 'free'
    if ('literal' in part && /[^0-9]/.test(part.literal)) isSeparated = true
    if ('name' in part && part.node) return isSeparated ? 'separated' : 'adjacent'
  }
  return 'free'
}

/** A text as a part of a username: no separator at its ends, never empty, so that `{first}.{n}` has no dots side by side. */
function namePart(ascii: string): string {
  const cut = ascii.replace(/^[._-]+/, '').slice(0, MAX_CHARACTERS)
  return cut.replace(/[._-]+$/, '') || 'x'
}

function longestOf(node: Node, written: (text: string, node: Node) => string): number {
  if (node.texts) return node.texts.reduce((most, text) => Math.max(most, written(text, node).length), 1)
  return node.isAscii ? Math.min(MAX_CHARACTERS, maxTextBytes(node)) : MAX_CHARACTERS
}
