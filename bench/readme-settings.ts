import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { settingsTable } from '../src/config/config.ts'

/** Writes the table of settings into the README (`npm run readme`); test/readme.test.ts fails while they differ. */
const README = fileURLToPath(new URL('../README.md', import.meta.url))
const text = await readFile(README, 'utf8')
const between = /(?<=<!-- settings -->\n)[\s\S]*(?=<!-- \/settings -->)/
await writeFile(
  README,
  text.replace(between, () => `${settingsTable()}\n`),
)
