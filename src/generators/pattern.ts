import { MAX_RANKS } from './bijection.ts'
import type { Draws } from './draws.ts'
import { type CodeRange, type Pattern, PatternError, parsePattern } from './pattern-syntax.ts'

/** Maximum characters of a text. */
const MAX_CHARACTERS = 1_000

/** Returns a random integer from 0 to below `size`. */
export type Below = (size: number) => number

/** A part of a pattern that writes texts, escaped for JSON. */
export interface TextPattern {
  write: (below: Below) => string
  /** Writes text number `rank`, which is below `size`. `below` decides what the rank does not, in ranges of more than 2^53 texts. */
  ranked: (rank: number, below: Below) => string
  size: number
  /** Whether different ranks write different texts. */
  isDistinct: boolean
  least: number
  most: number
  maxBytes: number
  /** The characters of all texts, and those that texts begin with. */
  alphabet: readonly CodeRange[]
  first: readonly CodeRange[]
}

/** Parses and compiles a pattern. Throws PatternError if it breaks the grammar or makes texts that are too long. */
export function compilePattern(text: string): TextPattern {
  const pattern = compile(parsePattern(text))
  if (pattern.most > MAX_CHARACTERS) throw tooLong(pattern.most)
  return pattern
}

const tooLong = (characters: number) =>
  new PatternError(`makes texts of up to ${characters} characters; the maximum is ${MAX_CHARACTERS}`)

/** Returns the draws of one text as a function that counts them. */
export function counted(draws: Draws, n: number, lane: number): Below {
  let index = 0
  return (size) => draws.below(size, n, lane, index++)
}

function compile(pattern: Pattern): TextPattern {
  if (pattern.kind === 'class') return classOf(pattern.ranges)
  if (pattern.kind === 'repeat') return repeat(compile(pattern.item), pattern.least, pattern.most)
  if (pattern.kind === 'sequence') return sequence(pattern.items.map(compile))
  return alternation(pattern.branches.map(compile))
}

function classOf(ranges: readonly CodeRange[]): TextPattern {
  const size = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
  const character = (rank: number): string => {
    let left = rank
    for (const [first, last] of ranges) {
      if (left <= last - first) return characterOf(first + left)
      left -= last - first + 1
    }
    return ''
  }
  const write = size === 1 ? () => character(0) : (below: Below) => character(below(size))
  const hasEscape = [0x22, 0x5c].some((code) => ranges.some(([first, last]) => first <= code && code <= last))
  const maxBytes = Math.max(
    ...ranges.map(([, last]) => Buffer.byteLength(String.fromCodePoint(last))),
    hasEscape ? 2 : 1,
  )
  return {
    write,
    ranked: character,
    size,
    isDistinct: true,
    least: 1,
    most: 1,
    maxBytes,
    alphabet: ranges,
    first: ranges,
  }
}

const characterOf = (code: number) => (code === 0x22 ? '\\"' : code === 0x5c ? '\\\\' : String.fromCodePoint(code))

function sequence(items: readonly TextPattern[]): TextPattern {
  return {
    write: (below) => {
      let text = ''
      for (const item of items) text += item.write(below)
      return text
    },
    ranked: (rank, below) => rankedTexts(items, rank, below),
    size: Math.min(
      items.reduce((product, item) => product * item.size, 1),
      MAX_RANKS,
    ),
    isDistinct: items.every((item, index) => item.isDistinct && endIsClear(item, items[index + 1])),
    ...sums(items),
    first: firstOf(items),
  }
}

/** Writes a text of each item. The rank decides the first items; once these have 2^53 texts, the others are random. */
function rankedTexts(items: Iterable<TextPattern>, rank: number, below: Below): string {
  let [text, left, size] = ['', rank, 1]
  for (const item of items) {
    if (size < MAX_RANKS) {
      const digit = left % item.size
      left = (left - digit) / item.size
      size *= item.size
      text += item.ranked(digit, below)
    } else text += item.write(below)
  }
  return text
}

/** Whether a reader of a text knows where `item` ends. */
function endIsClear(item: TextPattern, next: TextPattern | undefined): boolean {
  if (item.least === item.most || next === undefined) return true
  return next.least > 0 && areDisjoint(item.alphabet, next.first)
}

function repeat(item: TextPattern, least: number, most: number): TextPattern {
  if (item.most * most > MAX_CHARACTERS) throw tooLong(item.most * most)
  const sizes = Array.from({ length: most - least + 1 }, (_, index) =>
    Math.min(item.size ** (least + index), MAX_RANKS),
  )
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const isVast = total > MAX_RANKS // then the longest texts alone are enough
  const times = Array.from({ length: most }, () => item)
  const write = (below: Below) => {
    let text = ''
    for (let left = least === most ? most : least + below(most - least + 1); left > 0; left--) text += item.write(below)
    return text
  }
  const ranked = (rank: number, below: Below) => {
    if (isVast) return rankedTexts(times, rank, below)
    let [left, index] = [rank, 0]
    while (left >= (sizes[index] ?? 0)) left -= sizes[index++] ?? 0
    return rankedTexts(times.slice(0, least + index), left, below)
  }
  return {
    write,
    ranked,
    size: isVast ? (sizes.at(-1) ?? 0) : total,
    isDistinct: item.isDistinct && item.least > 0 && (most === 1 || item.least === item.most),
    least: item.least * least,
    most: item.most * most,
    maxBytes: item.maxBytes * most,
    alphabet: item.alphabet,
    first: item.first,
  }
}

function alternation(branches: readonly TextPattern[]): TextPattern {
  const total = branches.reduce((sum, { size }) => sum + size, 0)
  const sizes = branches.map(({ size }) => size)
  return {
    write: (below) => branches[below(branches.length)]?.write(below) ?? '',
    ranked: (rank, below) => {
      let [left, index] = [rank, 0]
      while (left >= (sizes[index] ?? 0)) left -= sizes[index++] ?? 0
      return branches[index]?.ranked(left, below) ?? ''
    },
    size: Math.min(total, MAX_RANKS),
    isDistinct: branches.every(
      (branch, index) => branch.isDistinct && branches.slice(index + 1).every((b) => differ(branch, b)),
    ),
    least: Math.min(...branches.map(({ least }) => least)),
    most: Math.max(...branches.map(({ most }) => most)),
    maxBytes: Math.max(...branches.map(({ maxBytes }) => maxBytes)),
    alphabet: branches.flatMap(({ alphabet }) => alphabet),
    first: branches.flatMap(({ first }) => first),
  }
}

/** Whether no text belongs to both branches, as far as lengths, first characters or fixed texts show. */
function differ(a: TextPattern, b: TextPattern): boolean {
  if (a.most < b.least || b.most < a.least) return true
  if (a.least > 0 && b.least > 0 && areDisjoint(a.first, b.first)) return true
  return a.size === 1 && b.size === 1 && a.write(() => 0) !== b.write(() => 0)
}

const areDisjoint = (a: readonly CodeRange[], b: readonly CodeRange[]) =>
  a.every(([first, last]) => b.every((range) => last < range[0] || range[1] < first))

function sums(items: readonly TextPattern[]) {
  const sum = (number: (item: TextPattern) => number) => items.reduce((total, item) => total + number(item), 0)
  const [least, most, maxBytes] = [sum((item) => item.least), sum((item) => item.most), sum((item) => item.maxBytes)]
  return { least, most, maxBytes, alphabet: items.flatMap(({ alphabet }) => alphabet) }
}

/** Characters that a sequence can begin with: those of its first item, and of the next one if an item can be empty. */
function firstOf(items: readonly TextPattern[]): CodeRange[] {
  const filled = items.findIndex(({ least }) => least > 0)
  return items.slice(0, filled < 0 ? items.length : filled + 1).flatMap(({ first }) => first)
}
