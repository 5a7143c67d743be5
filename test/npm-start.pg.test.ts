import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { CHILD_ENV } from './child-env.ts'
import { testDatabase } from './database.ts'
import { beginLog } from './run-record.ts'
import { isFull } from './size.ts'
import { suite } from './suite.ts'

const t = suite()

/*
 * What npm starts ends together with npm: npm sends signals only to its child, which is either a shell or the service.
 */

const PROJECT = fileURLToPath(new URL('..', import.meta.url))

/** Runs `npm start` in its own process group, as a terminal does, and waits until the service listens. */
async function npmStart(t: Test) {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  const env = { ...CHILD_ENV, PORT: '0', DATA_DIR: dataDir, MAX_WORKERS: '1', DATABASE_URL: await testDatabase() }
  const npm = spawn('npm', ['start'], { cwd: PROJECT, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const group = -(npm.pid ?? 0)
  // The pipe stays open as long as the service lives, even if npm has exited.
  const output = text(npm.stdout)
  npm.stdout.on('data', beginLog())
  t.teardown(async () => {
    try {
      process.kill(group, 'SIGKILL')
    } catch {} // everything has exited
    await rm(dataDir, { recursive: true, force: true })
  })
  const url = await new Promise<string>((resolve) => {
    npm.stdout.on('data', (piece: Buffer) => {
      const [, url] = /usersync listens on (http:[^,]+)/.exec(piece.toString()) ?? []
      if (url) resolve(url)
    })
  })
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  return { pid: npm.pid ?? 0, group, output }
}

const timesReceived = (output: string) => output.match(/SIG\w+ received/g)

t.test('the service stops on a SIGTERM sent only to npm, as a supervisor or script sends it', async (t) => {
  const { pid, output } = await npmStart(t)
  process.kill(pid, 'SIGTERM')
  t.strictSame(timesReceived(await output), ['SIGTERM received'])
})

// The small size starts npm once.
if (isFull)
  t.test('Ctrl-C in a terminal, which reaches the service twice, drains once', async (t) => {
    const { group, output } = await npmStart(t)
    process.kill(group, 'SIGINT')
    const lines = await output
    t.strictSame(timesReceived(lines), ['SIGINT received'])
    t.notMatch(lines, /second SIGINT/)
  })
