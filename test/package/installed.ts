import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { beginLog } from '../run-record.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const execute = promisify(execFile)

/** tap adds a module to NODE_OPTIONS, which breaks TypeScript's compiler and does not exist where the package is installed. */
const PLAIN = ['-u', 'NODE_OPTIONS']

/** Runs a command without tap's options for Node. */
export const run = (command: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }) =>
  execute('env', [...PLAIN, command, ...args], options)

/**
 * The PATH of a machine whose Node is not the project's, Node 20 for example, and the version of that Node. Undefined if this machine
 * has only the project's.
 */
export function machineNode(): { path: string; version: string } | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const found = folders.find((folder) => existsSync(join(folder, 'node')))
  if (!found) return undefined
  return {
    path: folders.join(delimiter),
    version: execFileSync(join(found, 'node'), ['--version'], { encoding: 'utf8' }),
  }
}

/** Makes the npm package of this checkout. Returns its path. */
export async function pack(): Promise<string> {
  const { stdout } = await run(process.execPath, [join(ROOT, 'scripts/pack.ts')], {})
  return join(ROOT, stdout.trim())
}

/** Installs the package in an empty folder, with `options` of npm. Returns the megabytes that it takes. */
export async function install(tarball: string, folder: string, env: NodeJS.ProcessEnv, options: string[]) {
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--silent']
  await run('npm', ['install', ...quiet, ...options, tarball], { cwd: folder, env })
  const { stdout } = await run('du', ['-sk', 'node_modules'], { cwd: folder })
  return Number.parseInt(stdout, 10) / 1024
}

/** Runs a command in a process group of its own, which is killed at the end of the test, and yields the lines that it prints. */
export function start(t: Test, command: string, args: string[], options: { cwd: string; env: NodeJS.ProcessEnv }) {
  const child = spawn('env', [...PLAIN, command, ...args], {
    ...options,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  child.stdout.on('data', beginLog())
  const signal = (name: 'SIGTERM' | 'SIGKILL') => {
    try {
      process.kill(-(child.pid ?? 0), name)
    } catch {} // everything has exited
    return ended
  }
  t.teardown(() => signal('SIGKILL'))
  return { lines: createInterface(child.stdout)[Symbol.asyncIterator](), ended, signal }
}

/** Returns the next line that matches. Throws an Error if the program ends before. */
export async function lineOf(lines: AsyncIterator<string>, form: RegExp): Promise<RegExpExecArray> {
  for (let line = await lines.next(); !line.done; line = await lines.next()) {
    const match = form.exec(line.value)
    if (match) return match
  }
  throw new Error(`the program ended without ${form}`)
}
