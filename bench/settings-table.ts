import { readFile, writeFile } from 'node:fs/promises'
import { presetsTable, systemsTable } from '../scripts/password-tables.ts'
import { settingsTable } from '../src/config/config.ts'

/** Writes the tables of docs/ that follow from the code (`npm run settings-table`). test/readme.test.ts fails if they differ. */
await writeTable('configuration', 'settings', settingsTable())
await writeTable('passwords', 'presets', presetsTable())
await writeTable('passwords', 'systems', systemsTable())

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->` on a page. */
async function writeTable(page: string, name: string, table: string): Promise<void> {
  const file = new URL(`../docs/${page}.md`, import.meta.url)
  const text = await readFile(file, 'utf8')
  const between = new RegExp(`(?<=<!-- ${name} -->\\n)[\\s\\S]*(?=<!-- /${name} -->)`)
  await writeFile(
    file,
    text.replace(between, () => `${table}\n`),
  )
}
