import { pathOf, readTrue } from './arguments.ts'
import type { Compiler, Generator, Use } from './compiler.ts'
import { known } from './faults.ts'
import { isLocale, LOCALES, type Locale, readLocale } from './locales.ts'
import { escaped, isAscii, type Node, scalar } from './node.ts'
import { compilePattern, counted, type TextPattern } from './pattern.ts'
import { PatternError } from './pattern-syntax.ts'

/** `{"$pattern": "[A-Z]{2}[0-9]{6}"}`: a text of a pattern, see docs/generators.md. */
export const pattern: Generator = {
  options: [],
  compile(use, compiler) {
    const { argument } = use
    if (typeof argument !== 'string') return compiler.faults.add(pathOf(use), 'invalid', 'expects a pattern as text')
    try {
      return patternsOf([argument], use, compiler)
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
      return compiler.faults.add(pathOf(use), 'invalid', error.message)
    }
  },
}

/** A text of one of several patterns. Throws PatternError. */
function patternsOf(patterns: readonly string[], use: Use, compiler: Compiler): Node {
  const compiled = patterns.map(compilePattern)
  const draws = compiler.drawsAt(use.place)
  const [only] = compiled
  const isOne = compiled.length === 1 && only?.isDistinct
  return scalar({
    text: (n, lane) => {
      const below = counted(draws, n, lane)
      return compiled[compiled.length === 1 ? 0 : below(compiled.length)]?.write(below) ?? ''
    },
    isText: true,
    maxTextBytes: Math.max(...compiled.map(({ maxBytes }) => maxBytes)),
    isAscii: compiled.every(isAsciiPattern),
    cost: 1 + Math.max(...compiled.map(({ most }) => most)),
    ranked: isOne
      ? { size: only.size, text: (rank, n, lane) => only.ranked(rank, counted(draws, n, lane)) }
      : undefined,
  })
}

const isAsciiPattern = ({ alphabet }: TextPattern) => alphabet.every(([, last]) => last < 0x80)

/** `{"$name": "first", "locale": "ja"}`: a first, last or full name. */
export const name: Generator = {
  options: ['locale'],
  compile(use, compiler) {
    const locale = localeFor(use, compiler)
    const part = readPart(use, ['first', 'last', 'full'], compiler)
    if (!locale || !part) return undefined
    if (part === 'first') return wordOf(locale.firstNames, use, compiler)
    if (part === 'last') return wordOf(locale.lastNames, use, compiler)
    return fullName(locale, use, compiler)
  },
}

/** `{"$place": "city"}`: a city, country, postcode or street with a house number. */
export const place: Generator = {
  options: ['locale'],
  compile(use, compiler) {
    const locale = localeFor(use, compiler)
    const part = readPart(use, ['city', 'country', 'postcode', 'street'], compiler)
    if (!locale || !part) return undefined
    if (part === 'city') return wordOf(locale.cities, use, compiler)
    if (part === 'country') return wordOf(locale.countries, use, compiler)
    return part === 'postcode' ? patternsOf([locale.postcode], use, compiler) : street(locale, use, compiler)
  },
}

/** `{"$phone": true}`: a number that is reserved for fiction, if the country has such numbers. */
export const phone: Generator = {
  options: ['locale'],
  compile(use, compiler) {
    const locale = localeFor(use, compiler)
    return readTrue(use, compiler) && locale && patternsOf(locale.phone, use, compiler)
  },
}

function localeFor(use: Use, compiler: Compiler): Locale | undefined {
  const { locale = compiler.settings.locale } = use.options
  if (isLocale(locale)) return readLocale(locale)
  if (use.options['locale'] === undefined) return undefined // compilePopulation has added the fault
  const message = `is no known locale.${known(String(locale), LOCALES)}`
  return compiler.faults.add([...use.place.path, 'locale'], 'unknown', message)
}

/** The locale of a word that names one; else it is read in the locale of the population. */
const localeOf = ({ options: { locale } }: Use) => (isLocale(locale) ? { locale } : {})

function readPart(use: Use, parts: readonly string[], compiler: Compiler): string | undefined {
  if (typeof use.argument === 'string' && parts.includes(use.argument)) return use.argument
  return compiler.faults.add(pathOf(use), 'invalid', `expects one of ${parts.join(', ')}`)
}

/** Words as they are written, and the bounds of a node that writes them. */
function readWords(words: readonly string[]) {
  const texts = words.map(escaped)
  const maxTextBytes = Math.max(...texts.map((text) => Buffer.byteLength(text)))
  return { texts, at: (index: number) => texts[index] ?? '', maxTextBytes, isAscii: texts.every(isAscii) }
}

function wordOf(words: readonly string[], use: Use, compiler: Compiler): Node {
  const { texts, at, maxTextBytes, isAscii } = readWords(words)
  const { below } = compiler.drawsAt(use.place)
  const text = (n: number, lane: number) => at(below(texts.length, n, lane, 0))
  return scalar({ text, isText: true, maxTextBytes, isAscii, texts: words, ...localeOf(use) })
}

function fullName(locale: Locale, use: Use, compiler: Compiler): Node {
  const [first, last] = [readWords(locale.firstNames), readWords(locale.lastNames)]
  const { below } = compiler.drawsAt(use.place)
  const between = locale.fullName.replace(/\{(first|last)\}/g, '')
  const isFirstFirst = locale.fullName.startsWith('{first}')
  return scalar({
    text: (n, lane) => {
      const firstName = first.at(below(first.texts.length, n, lane, 0))
      const lastName = last.at(below(last.texts.length, n, lane, 1))
      return isFirstFirst ? firstName + between + lastName : lastName + between + firstName
    },
    isText: true,
    maxTextBytes: first.maxTextBytes + Buffer.byteLength(between) + last.maxTextBytes,
    isAscii: first.isAscii && last.isAscii,
    cost: 2,
    ...localeOf(use),
  })
}

const MAX_HOUSES = 199

function street(locale: Locale, use: Use, compiler: Compiler): Node {
  const { texts, at, maxTextBytes, isAscii } = readWords(locale.streets)
  const { below } = compiler.drawsAt(use.place)
  return scalar({
    text: (n, lane) =>
      at(below(texts.length, n, lane, 0)).replace('{number}', () => String(1 + below(MAX_HOUSES, n, lane, 1))),
    isText: true,
    maxTextBytes, // {number} is longer than a number
    isAscii,
    cost: 2,
  })
}
