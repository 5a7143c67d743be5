import { readFileSync } from 'node:fs'

/** The locales that generators know, spelt as in CLDR and faker. */
export const LOCALES = ['en', 'de', 'fr', 'es', 'pt_BR', 'ja', 'zh_CN', 'ar'] as const
export type LocaleName = (typeof LOCALES)[number]

export const isLocale = (name: unknown): name is LocaleName => (LOCALES as readonly unknown[]).includes(name)

/** The word lists of a locale, as they are in `locales/<name>.json`. */
export interface LocaleLists {
  firstNames: readonly string[]
  lastNames: readonly string[]
  cities: readonly string[]
  countries: readonly string[]
  /** Street lines. `{number}` stands for the number of the house. */
  streets: readonly string[]
}

export interface Locale extends LocaleLists {
  /** The order of names: `{first} {last}`, `{last} {first}` or `{last}{first}`. */
  fullName: string
  /** Postcodes, in the syntax of the generator `$pattern`. */
  postcode: string
  /** Phone numbers that belong to nobody, in the syntax of the generator `$pattern`. */
  phone: readonly string[]
}

/** One country of each locale. The first digits keep to the ranges that its post uses. */
const FORMS: Record<LocaleName, { fullName: string; postcode: string }> = {
  en: { fullName: '{first} {last}', postcode: '(0[1-9]|[1-9][0-9])[0-9]{3}' }, // United States
  de: { fullName: '{first} {last}', postcode: '(0[1-9]|[1-9][0-9])[0-9]{3}' },
  fr: { fullName: '{first} {last}', postcode: '(0[1-9]|[1-8][0-9]|9[0-5])[0-9]{3}' },
  es: { fullName: '{first} {last}', postcode: '(0[1-9]|[1-4][0-9]|5[0-2])[0-9]{3}' },
  pt_BR: { fullName: '{first} {last}', postcode: '(0[1-9]|[1-9][0-9])[0-9]{3}-[0-9]{3}' },
  ja: { fullName: '{last} {first}', postcode: '[0-9]{3}-[0-9]{4}' },
  zh_CN: { fullName: '{last}{first}', postcode: '[1-8][0-9]{5}' },
  ar: { fullName: '{first} {last}', postcode: '[1-9][0-9]{4}' }, // Saudi Arabia
}

/**
 * Phone numbers that no subscriber has, in international form and in the syntax of the generator `$pattern`. Where the
 * regulator of a locale's country keeps numbers for fiction, these are used. The other countries get numbers that their
 * numbering plan cannot assign. A `0` in the middle of a number stays there when software strips the trunk prefix.
 */
const PHONE_NUMBERS = {
  // United States: 555-0100 to 555-0199 in every area code are for fictional use (NANPA, 555 line number guidelines,
  // ATIS-0300115). Area codes of large cities.
  en: [
    '\\+1 (202|206|212|213|214|215|216|303|305|312|313|314|404|412|414|415|502|503|504|505|512|513|602|612|614|615|617|619|702|704|713|801|804|808|816|901|904|907|916|919)-555-01[0-9]{2}',
  ],
  // Germany: Bundesnetzagentur, "Rufnummern für Medienproduktionen (Drama Numbers)", Mitteilung 148/2021, Amtsblatt 7/2021.
  de: [
    '\\+49 30 23125[0-9]{3}',
    '\\+49 40 66969[0-9]{3}',
    '\\+49 69 90009[0-9]{3}',
    '\\+49 89 99998[0-9]{3}',
    '\\+49 221 4710[0-9]{3}',
  ],
  // France: Arcep, plan national de numérotation (décision 2018-0881, annexe 1), numbers for audiovisual works.
  fr: [
    '\\+33 1 99 00 [0-9]{2} [0-9]{2}',
    '\\+33 2 61 91 [0-9]{2} [0-9]{2}',
    '\\+33 3 53 01 [0-9]{2} [0-9]{2}',
    '\\+33 4 65 71 [0-9]{2} [0-9]{2}',
    '\\+33 5 36 49 [0-9]{2} [0-9]{2}',
    '\\+33 6 39 98 [0-9]{2} [0-9]{2}',
  ],
  // Spain keeps none for fiction. Numbers whose first digit is 3 are a reserve without a service in the plan nacional de
  // numeración telefónica (Real Decreto 2296/2004): geographic numbers begin with 8 and 9, mobile ones with 6 and 7.
  es: ['\\+34 3[0-9]{2} [0-9]{3} [0-9]{3}'],
  // Brazil keeps none for fiction. The local number cannot begin with 0, the prefix of long-distance calls (Anatel,
  // Resolução 749/2022): fixed lines begin with 2 to 5, mobile ones with 9.
  pt_BR: ['\\+55 (11|21|31|41|51|61|71|81|85|91) 0[0-9]{3}-[0-9]{4}'],
  // Japan keeps none for fiction. Mobile numbers are 0A0-CDEF-GHJK, and C is never 0 (Ministry of Internal Affairs and
  // Communications, 電気通信番号計画).
  ja: ['\\+81 90-0[0-9]{3}-[0-9]{4}'],
  // China keeps none for fiction. A local number begins with 2 to 8: 0 is the trunk prefix, 1 and 9 are for services
  // (Ministry of Industry and Information Technology, 电信网编号计划).
  zh_CN: ['\\+86 (10|20|21|22|23|24|25|27|28|29) 0[0-9]{3} [0-9]{4}'],
  // Saudi Arabia, the largest market of the locale, keeps none for fiction. A geographic number is a two-digit code and a local
  // number, which cannot begin with 0, the trunk prefix (National Numbering Plan, 4.1).
  ar: ['\\+966 1[2-4] 0[0-9]{2} [0-9]{4}'],
}

const loaded = new Map<LocaleName, Locale>()

/**
 * Returns a locale. It reads the locale's file on the first call in a thread and keeps the lists, so a thread loads only the
 * locales of its batches.
 *
 * The words and their order are part of generator version 1: a generator picks a word by its index. Never change a file of
 * `locales/` for an existing version. The files come from the data of @faker-js/faker (MIT, `locales/LICENSE`) and are
 * written by `npm run locales`.
 */
export function readLocale(name: LocaleName): Locale {
  const known = loaded.get(name)
  if (known) return known
  const text = readFileSync(new URL(`./locales/${name}.json`, import.meta.url), 'utf8')
  const locale: Locale = { ...(JSON.parse(text) as LocaleLists), ...FORMS[name], phone: PHONE_NUMBERS[name] }
  loaded.set(name, locale)
  return locale
}
