import { readFile } from 'node:fs/promises'
import { settingsTable } from '../src/config/config.ts'
import { suite } from './suite.ts'

const t = suite()

t.test('the README’s table of settings is the config’s; `npm run readme` writes it', async (t) => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  t.ok(readme.includes(settingsTable()), settingsTable())
})
