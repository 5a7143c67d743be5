import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from './demo-deadline.ts'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))
const WARNING = 40

/** As `npm start` does; src/server.ts says why. */
const YOUNG_GENERATION = '--min-semi-space-size=4'

/** The service in its own process, so that it does not share an event loop with the measurement. */
export interface ServiceProcess {
  pid: number
  /** Resolves with its URL, `http://127.0.0.1:<port>`, as soon as it accepts requests. */
  listening: Promise<string>
  /** Resolves with the reason when the process has exited. */
  ended: Promise<string>
  /** Its logged warnings and errors, and what it wrote to standard error. */
  complaints: string[]
  /** Stops it gracefully, or with SIGKILL after 40 s. Throws if it is still running 5 s later. */
  stop(): Promise<void>
}

/** Starts `src/server.ts` with these settings and an environment that contains only PATH. */
export function startServiceProcess(settings: Record<string, string>): ServiceProcess {
  const child = spawn(process.execPath, [YOUNG_GENERATION, SERVER], {
    env: { PATH: process.env.PATH, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // Ctrl-C is for the benchmark, which then stops the service gracefully
  })
  const complaints: string[] = []
  const { promise: listening, resolve: listens } = Promise.withResolvers<string>()
  const { promise: ended, resolve: ends } = Promise.withResolvers<string>()
  child.once('error', (error) => complaints.push(error.message))
  child.once('close', (code, signal) => ends(['the service ended with', code ?? signal, ...complaints].join(' ')))
  createInterface(child.stderr).on('line', (line) => complaints.push(line))
  createInterface(child.stdout).on('line', (line) => {
    if (line.endsWith('"msg":"request"}')) return // thousands per second: parsing them would affect the measurement
    const { level = WARNING, msg = '' } = readLogLine(line)
    if (level >= WARNING) complaints.push(line)
    const [, address] = /^usersync listens on ([^\s,]+)/.exec(msg) ?? []
    if (address !== undefined) listens(address)
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await within(40, 'stop of the service', () => ended).catch(() => child.kill('SIGKILL'))
    await within(5, 'kill of the service', () => ended)
  }
  return { pid: child.pid ?? 0, listening, ended, complaints, stop }
}

/** A line that is not a log line has neither. */
function readLogLine(line: string): { level?: number; msg?: string } {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
