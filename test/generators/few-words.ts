import type { Locale, Words } from '../../src/generators/words.ts'

const en: Locale = {
  firstNames: ['Ada', 'Grace', 'Alan', 'Linus', 'Barbara', 'Edsger', 'Frances'],
  lastNames: ["O'Brien", 'Hopper', 'Turing', 'Smith-Jones', 'Liskov'],
  cities: ['Springfield', 'Riverton', 'Lakewood'],
  countries: ['Atlantis', 'Lilliput'],
  streets: ['{number} Main Street', '{number} High Street'],
  fullName: '{first} {last}',
  postcode: '[0-9]{5}',
  phone: ['555-01[0-9]{2}', '\\(202\\) 555-01[0-9]{2}'],
}

const ja: Locale = {
  ...en,
  firstNames: ['翔太', '美咲'],
  lastNames: ['佐藤', '鈴木', '高橋'],
  fullName: '{last}{first}',
  postcode: '[0-9]{3}-[0-9]{4}',
}

const LATIN = new Map([
  ...[['翔太', 'shota'] as const, ['美咲', 'misaki'] as const],
  ...[['佐藤', 'sato'] as const, ['鈴木', 'suzuki'] as const, ['高橋', 'takahashi'] as const],
])

/** Two small languages, so that these tests do not change with the word lists. */
export const FEW_WORDS: Words = {
  locales: ['en', 'ja'],
  read: (locale) => (locale === 'ja' ? ja : en),
  toAsciiName: (text, _locale) => {
    const latin = [...LATIN].reduce((written, [from, to]) => written.replaceAll(from, to), text)
    return latin.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, '')
  },
}
