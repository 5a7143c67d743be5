import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CHILD_ENV } from '../child-env.ts'
import { isFull, sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

const run = promisify(execFile)
const PROJECT = join(import.meta.dirname, '../..')

/** A copy of the project as `npm ci --ignore-scripts` leaves it: all packages, and postgres.js without its patch. */
async function unpatchedCopy(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'usersync-unpatched-'))
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  for (const name of ['package.json', 'patches', 'migrations', 'src']) {
    // Through the links, the patches of development tools would be reversed in the project's own packages.
    const filter = (path: string) => !path.endsWith('.dev.patch')
    await cp(join(PROJECT, name), join(copy, name), { recursive: true, filter })
  }
  const packages = join(PROJECT, 'node_modules')
  await cp(join(packages, 'postgres'), join(copy, 'node_modules/postgres'), { recursive: true })
  for (const name of await readdir(packages)) {
    if (name !== 'postgres') await symlink(join(packages, name), join(copy, 'node_modules', name))
  }
  await run(process.execPath, ['node_modules/patch-package/index.js', '--reverse', '--error-on-fail'], { cwd: copy })
  return copy
}

t.test('the service does not run on a driver without its patch, and says how to apply it', async (t) => {
  const copy = await unpatchedCopy()
  const dataDir = join(copy, 'data')
  const env = { ...CHILD_ENV, NODE_ENV: 'production', PORT: '0', DATA_DIR: dataDir }
  const start = (DATABASE_URL: string) =>
    run(process.execPath, ['src/server.ts'], { cwd: copy, env: { ...env, DATABASE_URL } }).catch((error) => error)

  const unpatched =
    /^usersync cannot start: Error: the driver postgres\.js lacks its patch.*: run `npm run postinstall`.*\n$/
  for (const url of sized([''], ['', 'postgres://127.0.0.1:1/x']))
    t.match(await start(url), { code: 1, stderr: unpatched })
  await t.rejects(readdir(dataDir), { code: 'ENOENT' }, 'no database is created')

  if (!isFull) return // `npm ci` has applied the patch where this runs
  for (let n = 0; n < 2; n++) await run('npm', ['run', 'postinstall'], { cwd: copy, env }) // the second one changes nothing
  t.match(await start('postgres://127.0.0.1:1/x'), { code: 1, stderr: /ECONNREFUSED/ })
})
