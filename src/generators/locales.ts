import { readFileSync } from 'node:fs'
import { PHONE_NUMBERS } from './phone-numbers.ts'

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
