import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { EMAIL_FORM } from '../../src/config/reserved-domain.ts'
import { LOCALES, readLocale } from '../../src/generators/locales.ts'
import arabic from '../../src/generators/readings/ar.json' with { type: 'json' }
import japanese from '../../src/generators/readings/ja.json' with { type: 'json' }
import { toAsciiName } from '../../src/generators/transliterate.ts'
import { anyCharacter } from '../any-character.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()
/** Letters and digits, with single separators between them. */
const ONE_NAME = /^[a-z0-9]+([._-][a-z0-9]+)*$/
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)
const anyLocale = fc.constantFrom(...LOCALES)
const anyText = fc.string({ unit: anyCharacter, maxLength: 40 })
/** Texts near names: letters of all scripts, separators, and what mail programs read as the end of an address. */
const nearName = fc
  .array(
    fc.constantFrom('佐藤', 'بن حسين', 'Müller', 'é', 'e\u0301', '.', '..', '-', '_', ' ', "'", '@', ',', '😀', '\0'),
  )
  .map((parts) => parts.join(''))

t.test('every word of every list has a name', (t) => {
  for (const locale of LOCALES) {
    const { firstNames, lastNames, cities, countries, streets } = readLocale(locale)
    const words = [...firstNames, ...lastNames, ...cities, ...countries, ...streets]
    const bad = words.filter((word) => !ONE_NAME.test(toAsciiName(word, locale)))
    t.strictSame(bad, [], locale)
    t.strictSame(
      words.filter((word) => toAsciiName(word) === ''),
      [],
      `${locale}, without the locale`,
    )
  }
  t.end()
})

t.test('any text becomes a local part of an address, or nothing', (t) => {
  fc.assert(
    fc.property(fc.oneof(anyText, nearName), anyLocale, (text, locale) => {
      const name = toAsciiName(text, locale)
      if (name === '') return true
      return (
        ONE_NAME.test(name) &&
        EMAIL_FORM.test(`${name}@example.com`) &&
        EMAIL_FORM.test(`${name}.${name}.1@example.com`)
      )
    }),
    { numRuns: sized(300, 2_000) },
  )
  t.end()
})

t.test('a name stays as it is, and both Unicode forms of a text have one name', (t) => {
  fc.assert(
    fc.property(fc.oneof(anyText, nearName), anyLocale, (text, locale) => {
      const name = toAsciiName(text, locale)
      return toAsciiName(name, locale) === name && toAsciiName(text.normalize('NFD'), locale) === name
    }),
    { numRuns: sized(300, 2_000) },
  )
  t.end()
})

t.test('names are read in the language of their locale', (t) => {
  const names: [string, string, (typeof LOCALES)[number]?][] = [
    ['Jürgen Größmann', 'juergen-groessmann'],
    ['ÄÖÜẞ', 'aeoeuess', 'de'],
    ['Agüero', 'aguero', 'es'],
    ['Françoise d’Alésia', 'francoise-dalesia', 'fr'],
    ['João', 'joao', 'pt_BR'],
    ["O'Connell", 'oconnell'],
    ['佐藤 健太郎', 'sato-kentaro', 'ja'],
    ['林', 'hayashi', 'ja'],
    ['林', 'lin', 'zh_CN'],
    ['曾伟', 'zengwei', 'zh_CN'],
    ['محمد بن عبد السلام', 'muhammad-bin-abd-al-salam', 'ar'],
    ['Łukasz Đặng', 'lukasz-dang'],
    ['!!!', ''],
    ['__proto__', 'proto', 'ja'],
    ['St. Louis', 'st-louis'],
    ['a.b_c', 'a.b_c'],
  ]
  for (const [text, name, locale] of names) t.equal(toAsciiName(text, locale), name, text)
  t.end()
})

t.test('every name in kanji or Arabic letters has a reading', (t) => {
  const readings = { ja: japanese, ar: arabic }
  for (const locale of ['ja', 'ar'] as const) {
    const { firstNames, lastNames } = readLocale(locale)
    const written = [...firstNames, ...lastNames].filter((word) => /[\p{Script=Han}\p{Script=Arabic}]/u.test(word))
    t.strictSame(
      written.filter((word) => !Object.hasOwn(readings[locale], word)),
      [],
    )
  }
  t.end()
})

/** A failure means that populations of generator version 1 would get other usernames: see any-ascii in docs/architecture.md. */
t.test('version 1 writes all names and characters as it always has', (t) => {
  const names = LOCALES.flatMap((locale) => {
    const { firstNames, lastNames, cities } = readLocale(locale)
    return [...firstNames, ...lastNames, ...cities].map((word) => toAsciiName(word, locale))
  })
  t.equal(sha256(names.join('\n')), '543b4b097a2385a7')
  const [step, digest] = sized([7, '13276e31b4e66f46'], [1, 'f80ff573f37d67d3'])
  const points = Array.from({ length: 0x30000 / step }, (_, index) => index * step).filter(
    (point) => point < 0xd800 || point > 0xdfff,
  )
  t.equal(sha256(points.map((point) => toAsciiName(`a${String.fromCodePoint(point)}a`)).join('\n')), digest)
  t.end()
})
