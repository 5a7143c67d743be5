/** A range of code points, both ends included. */
export type CodeRange = readonly [first: number, last: number]

/** A pattern, parsed. The grammar is in docs/generators.md. */
export type Pattern =
  | { kind: 'class'; ranges: readonly CodeRange[] }
  | { kind: 'branches'; branches: readonly Pattern[] }
  | { kind: 'sequence'; items: readonly Pattern[] }
  | { kind: 'repeat'; item: Pattern; least: number; most: number }

/** Maximum characters of a pattern. */
const MAX_CHARACTERS = 256

const SYNTAX = new Set('.[](){}|^$*+?')
const DIGITS: CodeRange[] = [[0x30, 0x39]]
const WORD: CodeRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const NOT_ACCEPTED = new Map([
  ['*', 'has no upper bound; write {0,5}'],
  ['+', 'has no upper bound; write {1,5}'],
  ['.', 'is any character; write a class such as [a-z]'],
  ['^', 'is not needed: a pattern describes the whole text'],
  ['$', 'is not needed: a pattern describes the whole text'],
])

/** Thrown for a pattern that does not follow the grammar. The message says what is wrong, and at which character. */
export class PatternError extends Error {
  override name = 'PatternError'
}

/** Parses a pattern. Throws PatternError. */
export function parsePattern(text: string): Pattern {
  const characters = [...text]
  if (characters.length > MAX_CHARACTERS) throw new PatternError(`has more than ${MAX_CHARACTERS} characters`)
  if (/\p{Cc}/u.test(text) || !text.isWellFormed())
    throw new PatternError('contains a control character or unpaired surrogate')
  return new PatternParser(characters).parse()
}

class PatternParser {
  readonly #characters: readonly string[]
  #at = 0

  constructor(characters: readonly string[]) {
    this.#characters = characters
  }

  parse(): Pattern {
    const pattern = this.#branches()
    if (this.#at < this.#characters.length) this.#fail('has no opening parenthesis')
    return pattern
  }

  #branches(): Pattern {
    const branches = [this.#sequence()]
    while (this.#skip('|')) branches.push(this.#sequence())
    const [only] = branches
    return branches.length === 1 && only ? only : { kind: 'branches', branches }
  }

  #sequence(): Pattern {
    const items: Pattern[] = []
    while (this.#peek() !== undefined && this.#peek() !== '|' && this.#peek() !== ')')
      items.push(this.#times(this.#atom()))
    if (items.length === 0)
      throw new PatternError(`has an empty branch at character ${this.#at + 1}; write x? for an optional x`)
    return { kind: 'sequence', items }
  }

  #atom(): Pattern {
    if (this.#skip('(')) {
      const pattern = this.#branches()
      if (!this.#skip(')')) throw new PatternError('has a ( without )')
      return pattern
    }
    if (this.#skip('[')) return this.#class()
    const character = this.#peek() ?? ''
    if (SYNTAX.has(character))
      this.#fail(NOT_ACCEPTED.get(character) ?? `is not expected here; write \\${character} for itself`)
    return { kind: 'class', ranges: this.#member() }
  }

  #class(): Pattern {
    if (this.#peek() === '^') this.#fail('excludes characters from all others; list those that are wanted')
    const ranges: CodeRange[] = []
    while (!this.#skip(']')) {
      if (this.#peek() === undefined) throw new PatternError('has a [ without ]')
      const first = this.#member()
      const isRange = this.#peek() === '-' && ![']', undefined].includes(this.#characters[this.#at + 1])
      if (!isRange) {
        ranges.push(...first)
        continue
      }
      this.#at++
      ranges.push(this.#range(first, this.#member()))
    }
    if (ranges.length === 0) throw new PatternError('has an empty class []')
    return { kind: 'class', ranges: merged(ranges) }
  }

  #range(first: CodeRange[], last: CodeRange[]): CodeRange {
    const [[from = 0, end] = [], [start, to = 0] = []] = [first[0], last[0]]
    if (from !== end || start !== to) throw new PatternError('has a range that begins or ends with \\d or \\w')
    const shown = `${String.fromCodePoint(from)}-${String.fromCodePoint(to)}`
    if (from > to) throw new PatternError(`has the range ${shown} turned round`)
    if ((from < 0xa0 && to > 0x7e) || (from < 0xd800 && to > 0xdfff)) {
      throw new PatternError(`has the range ${shown}, which contains control characters or surrogates`)
    }
    return [from, to]
  }

  /** A character, an escaped one, `\d` or `\w`. */
  #member(): CodeRange[] {
    const character = this.#characters[this.#at++] ?? ''
    if (character !== '\\') return single(character)
    const escaped = this.#characters[this.#at++] ?? ''
    if (escaped === 'd') return DIGITS
    if (escaped === 'w') return WORD
    if (escaped === '' || /[\p{L}\p{N}]/u.test(escaped)) {
      throw new PatternError(
        `has \\${escaped}, which is not accepted. Known: \\d, \\w, and \\ before a character that is not a letter or digit`,
      )
    }
    return single(escaped)
  }

  #times(item: Pattern): Pattern {
    if (this.#skip('?')) return { kind: 'repeat', item, least: 0, most: 1 }
    if (this.#peek() !== '{') return item
    const end = this.#characters.indexOf('}', this.#at)
    const [, least, comma, most] =
      /^\{(\d{1,4})(,(\d{1,4}))?$/.exec(this.#characters.slice(this.#at, Math.max(end, 0)).join('')) ?? []
    if (least === undefined) this.#fail('begins a number of times; write {3} or {2,4}')
    const times = { least: Number(least), most: Number(comma === undefined ? least : most) }
    if (times.most === 0 || times.least > times.most) this.#fail('begins a number of times that is 0 or turned round')
    this.#at = end + 1
    return { kind: 'repeat', item, ...times }
  }

  #peek = () => this.#characters[this.#at]

  #skip(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #fail(why: string): never {
    throw new PatternError(`has ${this.#peek()} at character ${this.#at + 1}, which ${why}`)
  }
}

function single(character: string): CodeRange[] {
  const code = character.codePointAt(0) ?? 0
  return [[code, code]]
}

/** Sorts ranges and joins those that overlap, so that each character counts once. */
function merged(ranges: readonly CodeRange[]): CodeRange[] {
  const result: CodeRange[] = []
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = result.at(-1)
    if (before && first <= before[1] + 1) result[result.length - 1] = [before[0], Math.max(before[1], last)]
    else result.push([first, last])
  }
  return result
}
