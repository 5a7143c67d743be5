import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fairNow } from './clock.ts'
import type { Report } from './report.ts'

const RESTART_PAUSE_MS = 500

/**
 * A process of the service with a supervisor that restarts it whenever it exits, on the same port and with the same
 * folder, as Kubernetes does.
 */
export class Replica {
  readonly name: string
  readonly url: string
  /** When it started to listen, by the fair clock; undefined while it does not. */
  upSince: number | undefined
  readonly #start: () => ChildProcess
  readonly #report: Report
  readonly #log: WriteStream
  #child: ChildProcess | undefined
  #running: Promise<void> | undefined
  /** Whether it should run, and whether the next exit is intended. */
  #wanted = false
  #expected = false
  #stoppedSince: number | undefined
  #stoppedMs = 0

  private constructor(name: string, url: string, log: WriteStream, report: Report, start: () => ChildProcess) {
    this.name = name
    this.url = url
    this.#log = log
    this.#report = report
    this.#start = start
  }

  /** Prepares a replica of the checkout `service`; `run` starts it. */
  static async create(
    name: string,
    options: { service: string; folder: string; port: number; settings: Record<string, string>; report: Report },
  ): Promise<Replica> {
    const { service, folder, port, settings, report } = options
    const dataDir = join(folder, name)
    await mkdir(dataDir, { recursive: true })
    const env = {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
      PORT: String(port),
      DATA_DIR: dataDir,
      ...settings,
    }
    const log = createWriteStream(join(folder, `${name}.log`))
    const start = () =>
      spawn(process.execPath, [join(service, 'src/server.ts')], {
        cwd: service,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    return new Replica(name, `http://127.0.0.1:${port}`, log, report, start)
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** How long it could not run so far, because it was suspended by SIGSTOP or its main thread waited for a CPU. */
  get pausedMs(): number {
    const sinceStop = this.#stoppedSince === undefined ? 0 : fairNow() - this.#stoppedSince
    return this.#stoppedMs + sinceStop + starvedMs(this.pid)
  }

  /** Keeps it running. Resolves when it listens for the first time. */
  async run(): Promise<void> {
    this.#wanted = true
    this.#running ??= this.#supervise().finally(() => {
      this.#running = undefined
    })
    while (this.#wanted && this.upSince === undefined) await sleep(50)
  }

  async #supervise(): Promise<void> {
    while (this.#wanted) {
      this.#expected = false
      const child = this.#start()
      this.#child = child
      child.stdout?.pipe(this.#log, { end: false })
      child.stderr?.pipe(this.#log, { end: false })
      if (child.stdout) {
        createInterface(child.stdout).on('line', (line) => {
          if (line.includes('usersync listens on') && this.#child === child) this.upSince = fairNow()
        })
      }
      const ended = await new Promise<string>((resolve) => {
        child.once('exit', (code, signal) => resolve(String(signal ?? code)))
      })
      const wasUp = this.upSince !== undefined
      this.upSince = undefined
      this.continue()
      if (wasUp && !this.#expected) this.#report.finding('process-alive', `${this.name} exited unexpectedly: ${ended}`)
      if (this.#wanted) await sleep(RESTART_PAUSE_MS)
    }
  }

  /** Sends SIGKILL or SIGTERM, and waits for `pause` before a new start. */
  async end(signal: 'SIGKILL' | 'SIGTERM', pause: Promise<unknown>): Promise<void> {
    this.#wanted = false
    this.#expected = true
    this.#child?.kill(signal)
    this.upSince = undefined
    const killed = setTimeout(() => this.#child?.kill('SIGKILL'), 40_000) // longer than any drain
    await this.#running
    clearTimeout(killed)
    await pause
  }

  /** Suspends the process, as a debugger or a swapping machine does. */
  stop(): void {
    if (this.#stoppedSince !== undefined || this.upSince === undefined) return
    this.#stoppedSince = fairNow()
    this.#child?.kill('SIGSTOP')
  }

  continue(): void {
    if (this.#stoppedSince === undefined) return
    this.#child?.kill('SIGCONT')
    this.#stoppedMs += fairNow() - this.#stoppedSince
    this.#stoppedSince = undefined
    if (this.upSince !== undefined) this.upSince = fairNow()
  }
}

/**
 * How long the main thread of a process has waited for a CPU (proc_pid_schedstat(5)). A busy machine is not the
 * process's fault.
 */
function starvedMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}
