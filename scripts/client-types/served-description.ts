import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const SERVER = resolve(import.meta.dirname, '../../src/server.ts')

/** The description has limits that follow from settings. These are the ones of the tests' service. */
const SETTINGS = { MAX_WORKERS: '2', LOG_FORMAT: 'json' }

/** Starts the service of this checkout with an empty database and returns its /openapi.json. Throws if it does not start. */
export async function servedDescription(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-description-'))
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], PORT: '0', DATA_DIR: dataDir, ...SETTINGS }
  const service = spawn(process.execPath, [SERVER], { env, stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 })
  const ended = once(service, 'exit')
  try {
    for await (const line of createInterface(service.stdout)) {
      const [, url] = /usersync listens on (http:[^,]+)/.exec(line) ?? []
      if (url) return await (await fetch(`${url}/openapi.json`)).text()
    }
    throw new Error('the service did not start')
  } finally {
    service.stdout.resume()
    service.kill('SIGTERM')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  }
}
