import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { settingsTable } from '../src/config/config.ts'

/**
 * Writes the settings table into docs/configuration.md (`npm run settings-table`). test/readme.test.ts fails if they
 * differ.
 */
const PAGE = fileURLToPath(new URL('../docs/configuration.md', import.meta.url))
const text = await readFile(PAGE, 'utf8')
const between = /(?<=<!-- settings -->\n)[\s\S]*(?=<!-- \/settings -->)/
await writeFile(
  PAGE,
  text.replace(between, () => `${settingsTable()}\n`),
)
