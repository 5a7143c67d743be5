import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'

const SECONDS = 30

export interface Ended {
  code: number | null
  output: string
  errors: string
}

/**
 * Runs a command until it exits. When `enough` resolves, it is asked to exit. After 30 s, or if `signal` is aborted, it
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
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
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

export async function isInstalled(command: string): Promise<boolean> {
  const places = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, command))
  const found = await Promise.allSettled(places.map((place) => access(place, constants.X_OK)))
  return found.some(({ status }) => status === 'fulfilled')
}
