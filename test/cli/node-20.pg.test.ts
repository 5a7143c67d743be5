import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { sharedService } from '../http/shared-service.ts'
import { run } from '../package/installed.ts'
import { killPulls } from '../pull/kills.ts'
import { sized } from '../size.ts'
import { suite } from '../suite.ts'

const t = suite()

/*
 * The command as the package has it, on Node 20, with nothing beside it but undici. Debian 13 has that Node.
 */

const ROOT = resolve(import.meta.dirname, '../..')
const NODE = '/usr/bin/node'
const found = spawnSync(NODE, ['--version'], { encoding: 'utf8' }).stdout ?? ''
const skip = found.startsWith('v20.') ? false : `${NODE} is no Node 20`

/** Compiles the command as scripts/pack.ts does. Returns its path. */
async function compiled(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-node-20-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  for (const project of ['tsconfig.json', 'tsconfig.client.json'])
    await run(process.execPath, [tsc, '-p', join(ROOT, 'scripts/pack', project), '--outDir', folder], {})
  await cp(join(ROOT, 'node_modules/undici'), join(folder, 'node_modules/undici'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"type": "module"}')
  return join(folder, 'cli/usersync.js')
}

t.test('a pull on Node 20 survives kills, and the server says how to install it', { skip }, async (t) => {
  const command = await compiled()
  const service = await sharedService(t)
  const call = async (...args: string[]) => {
    const child = spawn(NODE, [command, ...args], {
      env: { USERSYNC_URL: service.url, PATH: '/nowhere' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    return { code, out, err }
  }
  t.match(await call('status'), { code: 0, err: '', out: /health +ready/ })
  t.match(await call('batch', 'create', '2', '--json'), { code: 0, out: /"created_count":2/ })
  for (const name of ['serve', 'job', 'psql'])
    t.match(await call(name), { code: 1, out: '', err: /^usersync: the server is not installed here: run .*\n$/ })
  t.match(await call('pull', '--out', join(command, '../x.csv')), {
    code: 2,
    err: /cannot lock files without the program flock/,
  })
  await killPulls(t, service, { kills: sized(2, 20), users: 20_000, program: [NODE, command, 'pull'] })
})
