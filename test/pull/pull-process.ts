import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { runPull } from '../../src/pull/run-pull.ts'
import { CHILD_ENV } from '../child-env.ts'

const PULL = fileURLToPath(new URL('../../src/pull.ts', import.meta.url))

const argumentsOf = (options: Record<string, string>) =>
  Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])

/** A pull as a process of its own. */
export interface PullProcess {
  child: ChildProcess
  /** What it has told so far, on both streams. */
  told: () => string
  /** The exit code, or the signal that ended it. */
  ended: Promise<number | string>
}

/** A folder for `out`, removed at the end of `t`. */
export async function outFolder(t: Pick<Test, 'teardown'>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'usersync-pull-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Starts the program with these options; it is killed, if it still lives, when the test ends. */
export function startPull(
  t: Pick<Test, 'teardown'>,
  options: Record<string, string>,
  env: Record<string, string> = {},
): PullProcess {
  const child = spawn(process.execPath, [PULL, ...argumentsOf(options)], {
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
  return { child, told: () => text, ended }
}

/** Runs the program to its end, in this process: a process of its own costs half a second. */
export async function pull(
  options: Record<string, string>,
  env: Record<string, string> = {},
): Promise<{ code: number; told: string }> {
  let told = ''
  const stream = { isTTY: false, columns: 80, write: (text: string) => (told += text) }
  const stop = new AbortController().signal
  const code = await runPull(argumentsOf(options), { env, stdout: stream, stderr: stream, stop, firstPauseMs: 1 })
  return { code, told }
}

/** Runs a process to its end. */
export async function pullByProcess(
  t: Pick<Test, 'teardown'>,
  options: Record<string, string>,
  env?: Record<string, string>,
): Promise<{ code: number | string; told: string }> {
  const { ended, told } = startPull(t, options, env)
  return { code: await ended, told: told() }
}
