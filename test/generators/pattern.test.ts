import fc from 'fast-check'
import { compilePattern } from '../../src/generators/pattern.ts'
import { PatternError } from '../../src/generators/pattern-syntax.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { faultsOf, valuesOf } from './make-population.ts'

const t = suite()

const { pattern: anyLength } = fc.letrec<{ pattern: string; atom: string; item: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom('a', 'é', '-', '\\.', '\\\\', '"', '[A-C]', '[x\\-z]', '[0-9_-]', '\\d', '\\w', '[\\^]', '€', '😀'),
    tie('pattern').map((inner) => `(${inner})`),
  ),
  item: fc
    .tuple(tie('atom'), fc.constantFrom('', '', '', '?', '{2}', '{1,3}', '{0,1}'))
    .map(([atom, times]) => atom + times),
  pattern: fc
    .array(fc.array(tie('item'), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 })
    .map((branches) => branches.map((items) => items.join('')).join('|')),
}))

/** Random patterns of the grammar. */
const pattern = anyLength.filter((text) => [...text].length <= 256)

t.test('texts match their pattern as a regular expression, within its bounds', (t) => {
  const property = fc.property(pattern, fc.string(), (text, seed) => {
    const { least, most, maxBytes } = compilePattern(text)
    const form = new RegExp(`^(?:${text})$`, 'u')
    for (const value of valuesOf({ $pattern: text }, 20, { seed }) as string[]) {
      const length = [...value].length
      const bytes = Buffer.byteLength(JSON.stringify(value)) - 2
      if (!form.test(value)) t.fail(`${text} makes ${value}`)
      if (length < least || length > most || bytes > maxBytes)
        t.fail(`${text} makes ${length} characters, ${bytes} bytes`)
    }
  })
  fc.assert(property, { numRuns: sized(100, 300), seed: 1 })
  t.end()
})

t.test('different ranks write different texts where a pattern promises it', (t) => {
  let checked = 0
  const property = fc.property(pattern, (text) => {
    const { isDistinct, ranked, size } = compilePattern(text)
    if (!isDistinct || size > 2_000) return
    const form = new RegExp(`^(?:${text})$`, 'u')
    const texts = Array.from({ length: size }, (_, rank) => ranked(rank, () => 0))
    if (new Set(texts).size < size) t.fail(`${text} writes a text twice`)
    if (!texts.every((each) => form.test(JSON.parse(`"${each}"`)))) t.fail(`${text} does not match all its texts`)
    checked++
  })
  fc.assert(property, { numRuns: sized(150, 500), seed: 1 })
  t.ok(checked > sized(15, 50), `${checked} patterns`)
  t.end()
})

t.test('what the grammar does not have is refused, and says why', (t) => {
  const refused: Record<string, RegExp> = {
    '': /empty branch/,
    'a|': /empty branch/,
    '()': /empty branch/,
    'a+': /\+ at character 2, which has no upper bound/,
    'a*': /no upper bound/,
    '.': /any character/,
    '^a$': /whole text/,
    a$: /whole text/,
    '[^a]': /excludes/,
    '[]': /empty class/,
    '[a': /\[ without \]/,
    '(a': /\( without \)/,
    'a)': /no opening parenthesis/,
    ']': /not expected/,
    '{2}': /not expected/,
    'a{2}{3}': /not expected/,
    'a{2,}': /number of times/,
    'a{,2}': /number of times/,
    'a{0}': /number of times that is 0/,
    'a{3,2}': /turned round/,
    'a{99999}': /number of times/,
    '[z-a]': /turned round/,
    '[a-é]': /control characters/,
    '[\\d-z]': /\\d or \\w/,
    '\\b': /\\b, which is not accepted/,
    '\\1': /\\1, which is not accepted/,
    '\\': /not accepted/,
    'a\nb': /control character/,
    '\ud800': /surrogate/,
    '(?:a)': /not expected/,
    'a{1001}': /up to 1001 characters; the maximum is 1000/,
    '((a{100}){100}){100}': /the maximum is 1000/,
    'a{600}b{600}': /up to 1200 characters/,
    [`${'a'.repeat(257)}`]: /more than 256 characters/,
  }
  for (const [text, why] of Object.entries(refused)) {
    t.throws(() => compilePattern(text), { name: 'PatternError', message: why }, text)
    t.match(faultsOf({ custom_attributes: { x: { $pattern: text } } }), [/^custom_attributes.x.\$pattern /])
  }
  t.end()
})

t.test('any text is a pattern or refused as one', (t) => {
  const characters = fc.constantFrom(...'ab01-\\[](){}|^$*+?.,é"', '\ud800', '\n')
  const property = fc.property(fc.string({ unit: characters, maxLength: 30 }), (text) => {
    try {
      const { write, most } = compilePattern(text)
      if ([...write(() => 0)].length > most * 2) t.fail(text)
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
    }
  })
  fc.assert(property, { numRuns: sized(500, 5_000), seed: 1 })
  t.end()
})
