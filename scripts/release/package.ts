import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, command, PROJECT, Skipped } from './check.ts'

export const npmPackage: Check = {
  name: 'package',
  async run() {
    const { scripts } = JSON.parse(await readFile(join(PROJECT, 'package.json'), 'utf8'))
    if (!('pack' in scripts)) throw new Skipped('there is no npm run pack')
    return await command('npm', ['run', '--silent', 'pack'])
  },
}
