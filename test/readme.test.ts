import { readFile } from 'node:fs/promises'
import t from 'tap'
import { settingsTable } from '../src/config.ts'

t.test('the README’s table of settings is the config’s; `npm run readme` writes it', async (t) => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  t.ok(readme.includes(settingsTable()), settingsTable())
})
