import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { runPull } from '../../src/pull/run-pull.ts'
import { CHILD_ENV } from '../child-env.ts'

const COMMAND = fileURLToPath(new URL('../../cli/usersync.ts', import.meta.url))

const argumentsOf = (options: Record<string, string>) =>
  Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])

/** A pull in its own process. */
export interface PullProcess {
  child: ChildProcess
  /** Its output so far, on both streams. */
  output: () => string
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | string>
}

/** A folder for `out`, removed at the end of `t`. */
export async function outFolder(t: Pick<Test, 'teardown'>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-pull-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Starts the program with these options. It is killed at the end of the test if it is still alive. */
export function startPull(
  t: Pick<Test, 'teardown'>,
  options: Record<string, string>,
  env: Record<string, string> = {},
  [program = '', ...first]: string[] = [process.execPath, COMMAND, 'pull'],
): PullProcess {
  const child = spawn(program, [...first, ...argumentsOf(options)], {
    env: { ...CHILD_ENV, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece) => (text += piece))
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, output: () => text, ended }
}

/** Runs the program in this process, because a separate one costs half a second. */
export async function pull(
  options: Record<string, string>,
  env: Record<string, string> = {},
  stop = new AbortController().signal,
): Promise<{ code: number; output: string }> {
  let output = ''
  const stream = { isTTY: false, columns: 80, write: (text: string) => (output += text) }
  const code = await runPull(argumentsOf(options), { env, stderr: stream, stop, firstPauseMs: 1 })
  return { code, output }
}

/** A program that runs the pulls of its argument at once, as `pull` does, and prints their results. */
const PULLS = `
  const { runPull } = await import('${new URL('../../src/pull/run-pull.ts', import.meta.url)}')
  const stop = new AbortController().signal
  const results = JSON.parse(process.argv[1]).map(async (args) => {
    let output = ''
    const stream = { isTTY: false, columns: 80, write: (text) => (output += text) }
    const program = { env: process.env, stderr: stream, stop, firstPauseMs: 1 }
    return { code: await runPull(args, program), output }
  })
  process.stdout.write(JSON.stringify(await Promise.all(results)))`

/** Runs the program several times at once in one separate process with these variables. */
export async function pullsByProcess(
  calls: Record<string, string>[],
  env: Record<string, string>,
): Promise<{ code: number; output: string }[]> {
  const args = ['--input-type=module', '-e', PULLS, JSON.stringify(calls.map(argumentsOf))]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...CHILD_ENV, ...env } })
  return JSON.parse(stdout)
}
