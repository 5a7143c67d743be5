import { allLocales } from '@faker-js/faker'
import type { LocaleLists, LocaleName } from '../../src/generators/locales.ts'
import { corrected } from './corrections.ts'

/** Words per list. More would make the files larger without making users look more real. */
const MAX_WORDS = 500
const MAX_COMPOSED = 300

/** At most `most` words, evenly spaced, because most of faker's lists are in alphabetical order. */
const spread = (words: string[], most = MAX_WORDS) =>
  words.length <= most
    ? words
    : Array.from({ length: most }, (_, i) => words[Math.floor((i * words.length) / most)] ?? '')

/** Each word with one of `parts`, in turn. */
const inTurn = (words: string[], parts: string[], join: (word: string, part: string) => string) =>
  words.map((word, i) => join(word, parts[i % parts.length] ?? ''))

/** Every pair of a word and a part. */
const pairs = (words: string[], parts: string[], join: (word: string, part: string) => string) =>
  words.flatMap((word) => parts.map((part) => join(word, part)))

/**
 * The word lists of a locale, from faker's data. Where faker has no list of names, it composes them from parts, and so does
 * this script:
 * - pt_BR has 21 family names: those of pt_PT follow.
 * - ar has 76 family names: given names of men follow, as Arabic family names often are the name of a forefather.
 * - pt_BR and ja have no cities: a family name and an ending.
 * - fr, es, pt_BR, ja and ar have no streets: see `streetsOf`.
 */
export function composeLists(locale: LocaleName): LocaleLists {
  const { person, location } = allLocales[locale]
  const firstNames = spread(namesOf(locale, person?.first_name))
  const ownLastNames = namesOf(locale, person?.last_name)
  const lastNames = spread(corrected(locale, [...ownLastNames, ...moreLastNames(locale)]))
  const endings = location?.city_suffix ?? []
  const composedCities: Partial<Record<LocaleName, string[]>> = {
    pt_BR: pairs(ownLastNames, endings, (name, ending) => name + ending),
    ja: inTurn(spread(lastNames, MAX_COMPOSED), endings, (name, ending) => name + ending),
  }
  return {
    firstNames,
    lastNames,
    cities: spread(corrected(locale, composedCities[locale] ?? location?.city_name ?? [])),
    countries: corrected(locale, location?.country ?? []),
    streets: spread(corrected(locale, streetsOf(locale, lastNames))),
  }
}

const namesOf = (locale: LocaleName, kinds: object | null | undefined) =>
  corrected(locale, Object.values(kinds ?? {}).flat() as string[])

function moreLastNames(locale: LocaleName): string[] {
  if (locale === 'pt_BR') return namesOf(locale, allLocales.pt_PT.person?.last_name)
  if (locale === 'ar') return spread(corrected(locale, allLocales.ar.person?.first_name?.male ?? []), 224)
  return []
}

/** Street lines. Without a list of streets they carry a family name. Japanese addresses have quarters (町) instead of streets. */
function streetsOf(locale: LocaleName, lastNames: string[]): string[] {
  const { street_name, street_prefix, street_suffix } = allLocales[locale].location ?? {}
  const streets = spread(corrected(locale, street_name ?? []))
  const names = spread(lastNames, MAX_COMPOSED)
  switch (locale) {
    case 'en':
      return streets.map((street) => `{number} ${street}`)
    case 'de':
      return streets.map((street) => `${street} {number}`)
    case 'fr':
      return pairs(street_prefix ?? [], street_suffix ?? [], (kind, name) => `{number} ${kind} ${name}`)
    case 'es':
      return inTurn(
        names,
        ['Calle', 'Avenida', 'Paseo', 'Plaza', 'Camino'],
        (name, kind) => `${kind} ${name}, {number}`,
      )
    case 'pt_BR':
      return inTurn(names, ['Rua', 'Avenida', 'Travessa', 'Alameda'], (name, kind) => `${kind} ${name}, {number}`)
    case 'ja':
      return inTurn(names, ['1', '2', '3', '4', '5'], (name, block) => `${name}町${block}丁目{number}番地`)
    case 'zh_CN':
      return streets.map((street) => `${street}{number}号`)
    case 'ar':
      return inTurn(names, ['شارع', 'سبيل', 'جادة'], (name, kind) => `{number} ${kind} ${name}`)
  }
}

/** The text of a locale's file. */
export const fileText = (locale: LocaleName) => `${JSON.stringify(composeLists(locale), null, 1)}\n`
