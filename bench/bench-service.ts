import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { within } from './demo-deadline.ts'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))
const WARNING = 40

/** The service as a process of its own, so that it shares no event loop with what measures it. */
export interface ServiceProcess {
  pid: number
  /** Resolves with its address, `http://127.0.0.1:<port>`, as soon as it takes requests. */
  listening: Promise<string>
  /** Resolves when the process has ended, with the reason. */
  ended: Promise<string>
  /** What it has logged as a warning or worse, or written to standard error. */
  complaints: string[]
  /** Stops it in order, by force after 40 s. Throws where it still runs 5 s later. */
  stop(): Promise<void>
}

/** Starts `src/server.ts` with these settings and no other environment than the path. */
export function startServiceProcess(settings: Record<string, string>): ServiceProcess {
  const child = spawn(process.execPath, [SERVER], {
    env: { PATH: process.env.PATH, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a Ctrl-C is for the benchmark, which then stops the service in order
  })
  const complaints: string[] = []
  const { promise: listening, resolve: listens } = Promise.withResolvers<string>()
  const { promise: ended, resolve: ends } = Promise.withResolvers<string>()
  child.once('error', (error) => complaints.push(error.message))
  child.once('close', (code, signal) => ends(['the service ended with', code ?? signal, ...complaints].join(' ')))
  createInterface(child.stderr).on('line', (line) => complaints.push(line))
  createInterface(child.stdout).on('line', (line) => {
    if (line.endsWith('"msg":"request"}')) return // thousands a second: to read them would take from what is measured
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

/** A line that is not of the log's form has neither. */
function readLogLine(line: string): { level?: number; msg?: string } {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
