import { readFile } from 'node:fs/promises'
import { settingsTable } from '../src/config/config.ts'
import { suite } from './suite.ts'

const t = suite()

const ROOT = new URL('../', import.meta.url)

t.test('docs/configuration.md has the table of settings; `npm run settings-table` writes it', async (t) => {
  const page = await readFile(new URL('docs/configuration.md', ROOT), 'utf8')
  t.ok(page.includes(settingsTable()), settingsTable())
})
