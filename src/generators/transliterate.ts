import anyAscii from 'any-ascii'
import type { LocaleName } from './locales.ts'
import arabic from './readings/ar.json' with { type: 'json' }
import japanese from './readings/ja.json' with { type: 'json' }
import chinese from './readings/zh_CN.json' with { type: 'json' }

/**
 * How the names of the word lists are read where letters alone do not tell. any-ascii reads every Han character in Mandarin,
 * so it makes `zuoteng` of 佐藤 (sato), and Arabic is written without short vowels, so محمد (muhammad) becomes `mhmd`.
 * Japanese is in Hepburn without long vowels, as in passports; of several readings of a name, the most common one.
 */
const READINGS: Partial<Record<LocaleName, ReadonlyMap<string, string>>> = {
  ja: new Map(Object.entries(japanese)),
  zh_CN: new Map(Object.entries(chinese)),
  ar: new Map(Object.entries(arabic)),
}

/** In these languages `ü` is a `u` that is pronounced on its own (Agüero), not an umlaut. */
const WITHOUT_UMLAUTS: readonly LocaleName[] = ['fr', 'es', 'pt_BR']
const UMLAUTS: Record<string, string> = { ä: 'ae', ö: 'oe', ü: 'ue', Ä: 'ae', Ö: 'oe', Ü: 'ue' }

/** For each locale with readings, an expression that finds its names in a text. */
const names = new Map<LocaleName, RegExp>()

/** Longest name first. Arabic separates words by spaces, so there a name must not be a part of a longer word. */
function namesOf(locale: LocaleName, readings: ReadonlyMap<string, string>): RegExp {
  const known = names.get(locale)
  if (known) return known
  const anyName = [...readings.keys()].toSorted((a, b) => b.length - a.length).join('|')
  const expression = new RegExp(locale === 'ar' ? `(?<!\\p{L})(?:${anyName})(?!\\p{L})` : anyName, 'gu')
  names.set(locale, expression)
  return expression
}

/** Replaces the names that have a reading. */
function withReadings(text: string, locale: LocaleName): string {
  const readings = READINGS[locale]
  if (!readings) return text
  return readings.get(text) ?? text.replace(namesOf(locale, readings), (name) => readings.get(name) ?? name)
}

/**
 * Returns a text in `[a-z0-9._-]`, for usernames and the local part of addresses. Names of the word lists are read in their
 * locale. Everything else follows any-ascii, character by character; German umlauts become `ae`, `oe`, `ue`, except in French,
 * Spanish and Portuguese. Apostrophes are left out. A single `.` or `_` stays; any other run of characters becomes one `-`.
 * The result begins and ends with a letter or digit, so names and single dots in a pattern always make a dot-atom (RFC 5322).
 *
 * Returns '' if nothing in the text can be written, for example for `!!!`. For a word of the lists it never does.
 *
 * The result is part of generator version 1: see any-ascii in docs/architecture.md. A call takes 0.5 to 2 us.
 */
export function toAsciiName(text: string, locale: LocaleName = 'en'): string {
  const read = withReadings(text.normalize('NFC'), locale)
  const plain = WITHOUT_UMLAUTS.includes(locale)
    ? read
    : read.replace(/[äöüÄÖÜ]/g, (letter) => UMLAUTS[letter] ?? letter)
  return anyAscii(plain)
    .toLowerCase()
    .replace(/['`]/g, '')
    .replace(/[^a-z0-9]+/g, (run) => (run === '.' || run === '_' ? run : '-'))
    .replace(/^[._-]|[._-]$/g, '')
}
