import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** Far more than any example takes, also on a busy machine. */
const SECONDS = 100

/** Variables that every command gets. The last two find packages of Debian that are unpacked, not installed. */
const INHERITED = Object.fromEntries(
  ['PATH', 'HOME', 'PYTHONPATH', 'LD_LIBRARY_PATH'].flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  }),
)

export interface Ended {
  code: number | null
  output: string
  errors: string
}

/**
 * Runs a command until it exits. When `enough` resolves, it is asked to exit. After 100 s, or if `signal` is aborted, it
 * and everything it started are killed.
 */
export async function run(
  command: string,
  args: string[],
  {
    cwd,
    env,
    signal,
    enough,
  }: { cwd: string; env?: Record<string, string>; signal: AbortSignal; enough?: Promise<void> },
): Promise<Ended> {
  signal.throwIfAborted()
  const child = spawn(command, args, {
    cwd,
    env: { ...INHERITED, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // the leader of its own process group, so that the group can be killed by id
  })
  const over = AbortSignal.any([signal, AbortSignal.timeout(SECONDS * 1000)])
  const kill = () => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has just exited.
    }
  }
  over.addEventListener('abort', kill)
  void enough?.then(() => child.kill())
  try {
    const [[code], output, errors] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
    signal.throwIfAborted()
    if (over.aborted) throw new Error(`${command} has taken more than ${SECONDS} s\n${output}${errors}`)
    return { code, output, errors }
  } finally {
    over.removeEventListener('abort', kill)
  }
}

export const isInstalled = async (command: string): Promise<boolean> => (await placeOf(command)) !== undefined

/** Returns the file of a command on PATH. Undefined if it is not installed. */
async function placeOf(command: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const place = join(folder, command)
    if (
      await access(place, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return place
  }
  return undefined
}

/** Returns what starts a tool: a command and its first arguments. Undefined if the tool is not installed. */
export async function launcherOf(tool: string): Promise<string[] | undefined> {
  const place = await placeOf(tool)
  if (place === undefined) return undefined
  const share = join(dirname(place), '../share')
  const isOfDebian = await access(join(share, 'jmeter/bin/ApacheJMeter.jar')).then(
    () => true,
    () => false,
  )
  if (tool !== 'jmeter' || !isOfDebian) return [tool]
  if (!(await isInstalled('java'))) return undefined
  const jars = ['jmeter/bin/ApacheJMeter.jar', 'jmeter/lib/*', 'jmeter/lib/ext/*', 'java/*'].map((jar) =>
    join(share, jar),
  )
  const options = ['-Djava.awt.headless=true', `-Djmeter.home=${share}/jmeter`, '-cp', jars.join(delimiter)]
  return ['java', ...options, 'bsh.Interpreter', fileURLToPath(new URL('../jmeter/debian.bsh', import.meta.url))]
}
