import { LOCALES, type LocaleName, readLocale } from './locales.ts'
import { toAsciiName } from './transliterate.ts'
import type { Words } from './words.ts'

/** The word lists of the project. */
export const WORDS: Words = {
  locales: LOCALES,
  read: (locale) => readLocale(locale as LocaleName),
  toAsciiName: (text, locale) => toAsciiName(text, locale as LocaleName),
}
