import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test as TapTest } from 'tap'
import type { Pace } from '../src/service.ts'
import { CHILD_ENV } from './child-env.ts'
import { beginLog } from './run-record.ts'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))
const PACED_SERVER = fileURLToPath(new URL('paced-server.ts', import.meta.url))

/** A replica of the service in its own process. */
export interface ServerProcess {
  url: string
  pid: number
  /** Sends the signal. Returns the exit code, or the signal that ended the process. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string>
}

/**
 * Starts `src/server.ts` on a free port with these settings, and kills it at the end of the test if it is still alive.
 * With `pace`, starts the same service with other intervals.
 */
export async function startServerProcess(
  t: TapTest,
  settings: Record<string, string>,
  pace?: Pace,
): Promise<ServerProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'usersync-data-'))
  const child = spawn(process.execPath, pace ? [PACED_SERVER, JSON.stringify(pace)] : [SERVER], {
    env: { ...CHILD_ENV, PORT: '0', DATA_DIR: dataDir, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log = beginLog()
  child.stdout.on('data', log)
  child.stderr.on('data', (text) => {
    log(text)
    process.stderr.write(text)
  })
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  })
  const listening = new Promise<string>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const [, url] = /usersync listens on (http:[^,]+)/.exec(line) ?? []
      if (url) resolve(url)
    })
  })
  const first = await Promise.race([listening, ended])
  if (typeof first === 'number' || !first.startsWith('http'))
    throw new Error(`the service exited during startup: ${first}`)
  return {
    url: first,
    pid: child.pid ?? 0,
    end(signal) {
      child.kill(signal)
      return ended
    },
  }
}
