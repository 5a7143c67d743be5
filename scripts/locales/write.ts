import { writeFileSync } from 'node:fs'
import { LOCALES } from '../../src/generators/locales.ts'
import { fileText } from './lists.ts'

/**
 * Writes the word lists of src/generators/locales/. A changed list changes the values of all populations, so it is a new
 * generator version: test/generators/locales.test.ts notices it.
 */
for (const locale of LOCALES) {
  writeFileSync(new URL(`../../src/generators/locales/${locale}.json`, import.meta.url), fileText(locale))
}
