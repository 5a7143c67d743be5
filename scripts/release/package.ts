import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Check, command } from './check.ts'

/** The oldest Node of the client and the command. */
const OLDEST_NODE = '20.20.2'

/** Builds the package, installs it in empty folders and uses it, as test/package/ does, with the oldest Node. */
export const npmPackage: Check = {
  name: 'package',
  async run() {
    const folder = await mkdtemp(join(tmpdir(), 'usersync-node-'))
    try {
      await command('npm', [
        'install',
        '--prefix',
        folder,
        '--no-audit',
        '--no-fund',
        '--silent',
        `node@${OLDEST_NODE}`,
      ])
      await mkdir(join(folder, 'bin')) // the tests skip folders of npm when they look for the machine's Node
      await copyFile(join(folder, 'node_modules/node/bin/node'), join(folder, 'bin/node'))
      const env = { PATH: `${join(folder, 'bin')}${delimiter}${process.env['PATH']}` }
      const files = ['test/package/install.pg.test.ts', 'test/package/manifest.test.ts']
      const output = await command('npm', ['test', '--', ...files], { env, minutes: 30 })
      const [, sizes] = new RegExp(`# (v${OLDEST_NODE}: .*)`).exec(output) ?? []
      if (!sizes) throw new Error(`the tests did not run with Node ${OLDEST_NODE}`)
      return sizes
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}
