import fc from 'fast-check'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'
import { faultsOf, populationOf } from './make-population.ts'

const t = suite()

/** Attributes whose texts end and begin with digits and separators, and have letters of other scripts. */
const ATTRIBUTES = {
  first: { $name: 'first', locale: 'ja' },
  last: { $name: 'last', locale: 'en' },
  code: { $pattern: '[a1._-]{1,3}' },
  age: { $int: [0, 130] },
  label: { $template: '{last} {age}' },
  odd: { $choice: ['', '...', '€', 'Ä.', '-x-'] },
  vip: { $bool: 0.5 },
  maybe: { $maybe: 0.5, of: 'x' },
  list: [1],
}

const namesOf = (username_pattern: string, count: number, seed = 'a seed') => {
  const population = populationOf({ username_pattern, custom_attributes: ATTRIBUTES, count, seed })
  const names = Array.from({ length: count }, (_, index) => {
    const name = population.usernamePattern(index + 1)
    return name
      .replaceAll('{n}', String(index + 1))
      .replaceAll('{id}', String(5000 + index))
      .replaceAll('{batch}', '0a1b2c3d4e')
  })
  return { names, population }
}

t.test('names of attributes are transliterated, and of [a-z0-9._-]', (t) => {
  const { names, population } = namesOf('{first}.{last}.{n}@example.com', 2_000)
  t.ok(names.every((name) => /^[a-z]+\.[a-z]+(-[a-z]+)?\.\d+@example\.com$/.test(name)))
  const longest = population.longestUsernamePattern
  t.match(longest, /^x+\.x+\.\{n\}@example\.com$/)
  t.ok(names.every((name, index) => name.length <= longest.length - '{n}'.length + String(index + 1).length))
  t.notOk(population.isConstant)
  t.ok(namesOf('{code}{odd}{vip}.{n}', 2_000).names.every((name) => /^[a-z0-9._-]*[a-z0-9]\.\d+$/.test(name)))
  t.equal(
    namesOf('Plain {batch} {n}', 1).population.usernamePattern(1),
    'Plain {batch} {n}',
    'literals stay as they are',
  )
  t.end()
})

t.test('names of ja and ar are [a-z0-9._-], and no two users have the same', (t) => {
  for (const locale of ['ja', 'ar']) {
    const count = sized(2_000, 1_000_000)
    const custom_attributes = { first: { $name: 'first' }, last: { $name: 'last' } }
    const population = populationOf({ username_pattern: '{first}.{last}.{n}', custom_attributes, count, locale })
    const names = new Set<string>()
    for (let n = 1; n <= count; n++) names.add(population.usernamePattern(n).replace('{n}', String(n)))
    t.equal(names.size, count, locale)
    t.ok(names.values().every((name) => /^[a-z0-9-]+\.[a-z0-9-]+\.\d+$/.test(name)))
  }
  t.end()
})

t.test('a word is read in the locale that its attribute names', (t) => {
  const custom_attributes = { last: { $name: 'last', locale: 'ja' } }
  const namesIn = (locale: string) => {
    const { usernamePattern } = populationOf({ username_pattern: '{last}.{n}', custom_attributes, locale })
    return Array.from({ length: 50 }, (_, index) => usernamePattern(index + 1))
  }
  t.strictSame(namesIn('en'), namesIn('ja'))
  t.end()
})

/** Patterns of attributes, numbers and separators, most of which are ambiguous. */
const patterns = fc
  .array(fc.constantFrom('{code}', '{age}', '{n}', '{id}', '.', '1', '-', '@', 'a', 'A', '{batch}'), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => parts.join(''))
  .filter((pattern) => pattern.includes('{n}') || pattern.includes('{id}'))

t.test('a pattern that is accepted never names two users alike, and is as long as it says', (t) => {
  const count = sized(300, 1_000)
  let accepted = 0
  const property = fc.property(patterns, fc.string(), (pattern, seed) => {
    if (/\{id\}[\d{batch}]*\{n\}|\{n\}[\d{batch}]*\{id\}/.test(pattern)) return // the caller refuses it
    if (faultsOf({ username_pattern: pattern, custom_attributes: ATTRIBUTES }).length > 0) return
    accepted++
    const { names, population } = namesOf(pattern, count, seed)
    if (new Set(names).size < count) t.fail(`${pattern} names two users alike`)
    for (let n = 1; n <= count; n++) {
      if (population.usernamePattern(n).length > population.longestUsernamePattern.length)
        t.fail(`${pattern} is too long`)
    }
  })
  fc.assert(property, { numRuns: sized(100, 300), seed: 1 })
  t.ok(accepted > sized(15, 50), `${accepted} accepted`)
  t.end()
})

t.test('patterns that could name two users alike are refused', (t) => {
  const refused = [
    '{code}{n}',
    '{n}{code}',
    '{code}1{n}',
    '{code}.{n}.{age}',
    '{n}.{code}.{id}{age}',
    '{age}{batch}{n}',
  ]
  for (const username_pattern of refused) {
    const faults = faultsOf({ username_pattern, custom_attributes: ATTRIBUTES })
    t.match(faults, [/^username_pattern could make the same name for two users/], username_pattern)
  }
  const accepted = [
    '{code}.{n}',
    '{n}-{code}',
    '{code}.1{n}',
    '{n}@{code}.example',
    '{code}.{n}@{age}.example',
    '{code}-{id}.{n}',
    'u{n}',
  ]
  for (const username_pattern of accepted) {
    t.strictSame(faultsOf({ username_pattern, custom_attributes: ATTRIBUTES }), [], username_pattern)
  }
  t.end()
})

t.test('unknown and unfit attributes are refused by name', (t) => {
  const refused: Record<string, RegExp> = {
    '{frist}.{n}': /unknown placeholder \{frist\}. Did you mean first\?/,
    '{salary}.{n}': /unknown placeholder \{salary\}. Known: id, n, batch, first, last/,
    '{}{n}': /unknown placeholder \{\}/,
    '{list}.{n}': /the object or list \{list\}/,
    '{maybe}.{n}': /\{maybe\}, which some users do not have/,
  }
  for (const [username_pattern, message] of Object.entries(refused)) {
    t.match(faultsOf({ username_pattern, custom_attributes: ATTRIBUTES }), [message], username_pattern)
  }
  t.end()
})
