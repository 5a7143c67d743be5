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
import { suite } from './suite.ts'

const t = suite()

/* What is started by npm ends with it: npm passes signals on to its child alone, be that a shell or the service. */

const PROJECT = fileURLToPath(new URL('..', import.meta.url))

/** `npm start`, in a process group of its own as a terminal gives it one, when the service listens. */
async function npmStart(t: Test) {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  const env = { ...CHILD_ENV, PORT: '0', DATA_DIR: dataDir, MAX_WORKERS: '1', DATABASE_URL: await testDatabase(t) }
  const npm = spawn('npm', ['start'], { cwd: PROJECT, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const group = -(npm.pid ?? 0)
  // Open for as long as the service lives, whatever became of npm.
  const said = text(npm.stdout)
  npm.stdout.on('data', beginLog())
  t.teardown(async () => {
    try {
      process.kill(group, 'SIGKILL')
    } catch {} // all of it has ended
    await rm(dataDir, { recursive: true, force: true })
  })
  const url = await new Promise<string>((resolve) => {
    npm.stdout.on('data', (piece: Buffer) => {
      const [, url] = /usersync listens on (http:[^,]+)/.exec(piece.toString()) ?? []
      if (url) resolve(url)
    })
  })
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  return { pid: npm.pid ?? 0, group, said }
}

const timesReceived = (said: string) => said.match(/SIG\w+ received/g)

t.test('SIGTERM to npm alone, as a supervisor or a script sends it', async (t) => {
  const { pid, said } = await npmStart(t)
  process.kill(pid, 'SIGTERM')
  t.strictSame(timesReceived(await said), ['SIGTERM received'])
})

t.test('Ctrl-C in a terminal, of which the service hears twice, drains once', async (t) => {
  const { group, said } = await npmStart(t)
  process.kill(group, 'SIGINT')
  const lines = await said
  t.strictSame(timesReceived(lines), ['SIGINT received'])
  t.notMatch(lines, /second SIGINT/)
})
