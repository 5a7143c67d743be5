import { readFile } from 'node:fs/promises'
import { SYSTEM_FORMAT_NAMES, systemFormatOf } from '../../src/systems/system-formats.ts'
import { suite } from '../suite.ts'

const t = suite()

t.test('docs/system-files.md has a row for each format, with the limits of a part', async (t) => {
  const page = await readFile(new URL('../../docs/system-files.md', import.meta.url), 'utf8')
  const rows = page.split('\n').filter((line) => line.startsWith('| `'))
  for (const name of SYSTEM_FORMAT_NAMES) {
    const row = rows.find((line) => line.startsWith(`| \`${name}\` |`)) ?? ''
    const { users, bytes } = systemFormatOf(name).part
    const limits = [
      `${users.toLocaleString('en')} users`,
      ...(Number.isFinite(bytes) ? [`${bytes.toLocaleString('en')} bytes`] : []),
    ]
    for (const limit of limits) t.ok(row.includes(limit), `${name}: ${limit}`)
  }
  t.equal(
    rows.filter((row) => SYSTEM_FORMAT_NAMES.some((name) => row.startsWith(`| \`${name}\` |`))).length,
    SYSTEM_FORMAT_NAMES.length,
  )
})
