import { equal } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Check, command, PROJECT } from './check.ts'

/** The oldest Node of the client and the command. */
const OLDEST_NODE = '20.20.2'

/**
 * Builds the package and installs it in empty folders with the oldest Node: the service runs from one, and an install without the server
 * creates and pulls users.
 */
export const npmPackage: Check = {
  name: 'package',
  async run() {
    const file = join(PROJECT, (await command('npm', ['run', '--silent', 'pack'])).trim())
    const folder = await mkdtemp(join(tmpdir(), 'usersync-package-'))
    try {
      await install(join(folder, 'node'), [`node@${OLDEST_NODE}`])
      const PATH = `${join(folder, 'node/node_modules/node/bin')}${delimiter}${process.env['PATH']}`
      equal(await command('node', ['--version'], { env: { PATH } }), `v${OLDEST_NODE}\n`)
      const [full, puller] = [join(folder, 'full'), join(folder, 'puller')]
      const fullMb = await install(full, [file], { PATH })
      const pullerMb = await install(puller, ['--omit=optional', file], { PATH })

      await using service = await serve(full, { PATH, DATA_DIR: join(folder, 'data') })
      const env = { PATH, USERSYNC_URL: service.url }
      const usersync = (...args: string[]) =>
        command('npx', ['--no-install', 'usersync', ...args], { cwd: puller, env })
      await usersync('batch', 'create', '1000')
      await usersync('pull', '--out', 'users.csv')
      const lines = (await readFile(join(puller, 'users.csv'), 'utf8')).trimEnd().split('\n').length
      equal(lines, 1001, 'lines of the file')
      return `Node ${OLDEST_NODE}: ${fullMb} MB with the server, ${pullerMb} MB without; 1,000 users created and pulled`
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** Installs in an empty folder. Returns the size in MB. */
async function install(folder: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  await mkdir(folder)
  await command('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--silent', ...args], {
    cwd: folder,
    env,
  })
  return Number.parseInt(await command('du', ['-sm', folder]), 10)
}

/** Starts `usersync serve` on a free port. At the end it gets SIGTERM and must exit with 0. */
async function serve(folder: string, env: Record<string, string>): Promise<AsyncDisposable & { url: string }> {
  const child = spawn(join(folder, 'node_modules/.bin/usersync'), ['serve'], {
    cwd: folder,
    env: { ...process.env, ...env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const limit = setTimeout(() => child.kill('SIGKILL'), 5 * 60_000)
  const stopped = async () => {
    child.kill('SIGTERM')
    const [code] = await exited
    clearTimeout(limit)
    equal(code, 0, 'exit code of the service after SIGTERM')
  }
  for await (const line of createInterface(child.stdout)) {
    const [, url] = /usersync listens on (http:[^,]+)/.exec(line) ?? []
    if (url) return { url, [Symbol.asyncDispose]: stopped }
  }
  throw new Error(`the service exited with ${(await exited)[0]}`)
}
