import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { fileText } from '../../scripts/locales/lists.ts'
import { LOCALES, type LocaleName, readLocale } from '../../src/generators/locales.ts'
import { suite } from '../suite.ts'

const t = suite()
const LISTS = ['firstNames', 'lastNames', 'cities', 'countries', 'streets'] as const
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)

t.test('the files are what the script makes of the installed faker', (t) => {
  for (const locale of LOCALES) {
    const file = readFileSync(new URL(`../../src/generators/locales/${locale}.json`, import.meta.url), 'utf8')
    t.ok(file === fileText(locale), `${locale}.json: run npm run locales, and read its comment first`)
  }
  t.end()
})

t.test('every list has enough words, none twice, none broken', (t) => {
  for (const name of LOCALES) {
    const locale = readLocale(name)
    for (const list of LISTS) {
      const words = locale[list]
      t.ok(words.length >= 30 && words.length <= 500, `${name}.${list} has ${words.length} words`)
      t.equal(new Set(words).size, words.length, `${name}.${list} has no word twice`)
      const street = list === 'streets'
      const broken = words.filter(
        (word) =>
          word !== word.normalize('NFC').trim() ||
          word === '' ||
          /[\p{C}\p{Co}<>"`@;:!?#%*_=+[\]\\|~^$&]|\s\s/u.test(word) ||
          word.includes('{number}') !== street ||
          /[{}]/.test(word.replace('{number}', '')),
      )
      t.strictSame(broken, [], `${name}.${list}`)
    }
    t.ok(locale.firstNames.length * locale.lastNames.length >= 20_000, `${name} has many full names`)
  }
  t.end()
})

t.test('a locale is read once', (t) => {
  t.equal(readLocale('de'), readLocale('de'))
  t.end()
})

/** What may follow the country code: numbers for fiction, or numbers that the country's plan cannot assign. */
const NOBODYS: Record<LocaleName, (number: string) => boolean> = {
  en: (number) => /^\+1[2-9]\d{2}55501\d{2}$/.test(number),
  de: (number) => /^\+49(3023125|4066969|6990009|8999998|2214710)\d{3}$/.test(number),
  fr: (number) => /^\+33(19900|26191|35301|46571|53649|63998)\d{4}$/.test(number),
  es: (number) => /^\+343\d{8}$/.test(number), // assigned: 5 to 9
  pt_BR: (number) => /^\+55[1-9]{2}0\d{7}$/.test(number), // assigned: 2 to 5 and 9 after the area code
  ja: (number) => /^\+81900\d{7}$/.test(number), // assigned: 1 to 9 after 90
  zh_CN: (number) => /^\+86(10|2\d)0\d{7}$/.test(number), // assigned: 2 to 8 after the area code
  ar: (number) => /^\+9661[2-4]0\d{6}$/.test(number), // assigned: 2 to 8 after the area code
}

t.test('phone numbers belong to nobody', (t) => {
  for (const name of LOCALES) {
    for (const pattern of readLocale(name).phone) {
      // The syntax of $pattern is a part of that of regular expressions.
      const numbers = fc.stringMatching(new RegExp(`^${pattern}$`))
      fc.assert(fc.property(numbers, (number) => NOBODYS[name](number.replace(/[ -]/g, ''))))
    }
  }
  t.end()
})

t.test('patterns use only the syntax of $pattern', (t) => {
  for (const name of LOCALES) {
    const { phone, postcode, fullName } = readLocale(name)
    for (const pattern of [...phone, postcode]) {
      t.ok(pattern.length <= 256, `${name}: the limit of $pattern`)
      t.match(pattern, /^([A-Z0-9 -]|\\\+|\[[0-9]-[0-9]\]|\[[0-9]\]|\{[0-9]+\}|[(|)])+$/, `${name}: ${pattern}`)
    }
    t.match(fullName, /^\{(first|last)\} ?\{(first|last)\}$/)
  }
  t.end()
})

/** A failure means that populations of generator version 1 would get other people. A changed list is a new version. */
t.test('version 1 has these locales', (t) => {
  const digests = LOCALES.map((name) => [name, sha256(JSON.stringify(readLocale(name)))])
  t.strictSame(Object.fromEntries(digests), {
    en: '03e194330ff61a89',
    de: 'c4ed7c58bff89219',
    fr: '68a9b6070ace8f48',
    es: 'c4ca34ed8161a09c',
    pt_BR: '987ed7d379343155',
    ja: '12bc4eff39f0ec77',
    zh_CN: '30a9d2a0f2a5356c',
    ar: '71008d0841031837',
  })
  t.end()
})
