import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startEmbeddedDatabase } from '../src/database/embedded/embedded.ts'
import { within } from './demo-deadline.ts'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))
const WARNING = 40

/** The service in its own process, with its own data folder. */
export interface Service {
  dataDir: string
  /** Resolves with its URL, `http://127.0.0.1:<port>`, as soon as it accepts requests. */
  listening: Promise<string>
  /** Resolves with the exit code or signal when the process has exited. */
  ended: Promise<number | string>
  /** Its logged warnings and errors, and what it wrote to standard error. */
  complaints: string[]
  /**
   * Stops the service and its database, and removes their folder. May be called once, at any time. Resolves with the
   * exit code or signal: `SIGKILL` is sent only after 40 s. Throws if a process is still running after 65 s.
   */
  stop(): Promise<number | string>
}

/** Starts `src/server.ts` on a free port with the embedded PostgreSQL. Of our environment it gets only PATH. */
export function startService(): Service {
  const dataDir = mkdtempSync(join(tmpdir(), 'usersync-demo-'))
  chmodSync(dataDir, 0o755) // root runs PostgreSQL as another user
  const child = spawn(process.execPath, [SERVER], {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // Ctrl-C is for the demo, which then stops the service gracefully
  })
  const complaints: string[] = []
  const { promise: listening, resolve: listens } = Promise.withResolvers<string>()
  const { promise: ended, resolve: ends } = Promise.withResolvers<number | string>()
  let databaseDirectory: string | undefined
  child.once('error', (error) => complaints.push(error.message))
  child.once('close', (code, signal) => ends(code ?? signal ?? 'unknown'))
  createInterface(child.stderr).on('line', (line) => complaints.push(line))
  createInterface(child.stdout).on('line', (line) => {
    const { level, msg } = readLogLine(line)
    if (level >= WARNING) complaints.push(line)
    const [, address, directory] =
      /^usersync listens on (\S+), embedded PostgreSQL in (.+), \d+ workers/.exec(msg) ?? []
    if (address === undefined) return
    databaseDirectory = directory
    listens(address)
  })

  const stop = async () => {
    try {
      child.kill('SIGTERM')
      await within(40, 'stop of the service', () => ended).catch(() => child.kill('SIGKILL'))
      const exit = await within(5, 'kill of the service', () => ended)
      if (exit !== 0 || databaseDirectory === undefined) databaseDirectory = await stopDatabase(dataDir)
      return exit
    } finally {
      // If PostgreSQL's user cannot access the temporary folder, the data are in a separate one.
      for (const folder of [databaseDirectory && dirname(databaseDirectory), dataDir]) {
        if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
      }
    }
  }
  return { dataDir, listening, ended, complaints, stop }
}

/** Stops the server that a service left behind, by joining it and leaving as its last user. Returns its directory. */
async function stopDatabase(dataDir: string): Promise<string> {
  return await within(15, 'stop of the database', async () => {
    const database = await startEmbeddedDatabase({ dataDir })
    await database.stop()
    return database.directory
  })
}

/** A line that is not a log line counts as a warning. */
function readLogLine(line: string): { level: number; msg: string } {
  try {
    const { level = WARNING, msg = '' }: { level?: number; msg?: string } = JSON.parse(line)
    return { level, msg }
  } catch {
    return { level: WARNING, msg: line }
  }
}
