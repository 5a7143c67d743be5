import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { KEYS, type Key } from '../client.ts'
import { eventually } from '../clock.ts'
import type { Form } from '../events.ts'
import type { World } from '../world.ts'

interface Pulling {
  form: Form
  pool: string
  include: string
  key: Key
}

const PULLINGS: [Pulling, Pulling] = [
  { form: 'csv', pool: 'steady', include: 'password,password_hash', key: 'logins' },
  { form: 'ndjson', pool: 'default', include: '', key: 'reader' },
]

const CATCH_UP_MS = 30_000

/** `npm run pull -- --every 1s`, restarted whenever it is killed. */
export class Pull {
  readonly #world: World
  readonly #pulling: Pulling
  readonly #replica
  readonly #out: string
  #child: ChildProcess | undefined
  #expected = false
  #isOver = false
  #running: Promise<void>

  constructor(world: World, pulling: Pulling, index: number) {
    this.#world = world
    this.#pulling = pulling
    this.#replica = world.replicas[index % 2 === 0 ? 0 : 1]
    this.#out = join(world.folder, `pull-${index}.${pulling.form}`)
    this.#running = this.#supervise()
  }

  async #supervise(): Promise<void> {
    const { service, folder, report } = this.#world
    const { pool, include, key } = this.#pulling
    const options = ['--url', this.#replica.url, '--out', this.#out, '--pool', pool, '--every', '1s']
    if (include) options.push('--include', include)
    const env = {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
      USERSYNC_KEY: KEYS[key].secret,
    }
    while (!this.#isOver) {
      this.#expected = false
      const child = spawn(process.execPath, [...pullProgram(service), ...options], { cwd: service, env })
      this.#child = child
      const log = createWriteStream(`${this.#out}.log`, { flags: 'a' })
      child.stdout.pipe(log, { end: false })
      child.stderr.pipe(log, { end: false })
      report.count('processes pull')
      const code = await new Promise<number | string>((resolve) => {
        child.once('close', (code, signal) => resolve(code ?? signal ?? ''))
      })
      log.end()
      if (!this.#expected) report.finding('process-alive', `pull --pool ${pool} exited unexpectedly: ${code}`)
      await sleep(500)
    }
  }

  kill(): void {
    this.#expected = true
    this.#child?.kill('SIGKILL')
  }

  async end(): Promise<void> {
    this.#isOver = true
    this.kill()
    await this.#running
  }

  /** Once nothing changes, its file must be equal to a full export. */
  async settle(): Promise<void> {
    const { client, report } = this.#world
    const { form, pool, include, key } = this.#pulling
    const path = `/v1/users/export?pool=${pool}&format=${form}&differential=false${include && `&include=${include}`}`
    let difference = 'there is no file'
    const isInStep = await eventually(
      report.patience('follower-in-step', CATCH_UP_MS),
      async () => {
        const { status, text } = await client.ask({ replica: this.#replica, key, path, kind: 'export' })
        if (status !== 200) return false
        const [file, full] = [await readFile(this.#out, 'utf8'), text].map(userLines)
        if (!file || !full) return false
        const other = full.filter((line) => !file.has(line))
        difference = `${other.length} of ${full.size} lines differ, for example ${other[0]}`
        return file.size === full.size && other.length === 0
      },
      1_000,
    )
    if (!isInStep)
      report.finding('follower-in-step', `the file of pull --pool ${pool} --include ${include}: ${difference}`)
  }
}

/** All lines except head and end, which depend on the kind of response. */
function userLines(text: string) {
  const lines = text.split('\n').filter((line) => line !== '' && !/^\{"(kind|end)":/.test(line))
  return Object.assign(new Set(lines), { filter: (test: (line: string) => boolean) => lines.filter(test) })
}

export const startPulls = (world: World): Pull[] => PULLINGS.map((pulling, i) => new Pull(world, pulling, i))

/** The arguments of Node that start a pull. It was a program of its own; an older checkout has it in one of its former places. */
function pullProgram(service: string): string[] {
  const former = ['src/pull.ts', 'src/pull/pull.ts'].map((file) => join(service, file)).find(existsSync)
  return former === undefined ? [join(service, 'cli/usersync.ts'), 'pull'] : [former]
}
