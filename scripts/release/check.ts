import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

/** One line of the table that `npm run release` prints. */
export interface Check {
  name: string
  /**
   * Returns what was seen, in a few words. Throws `Skipped` if it cannot check here, and any other error if the release must not be
   * made.
   */
  run(): Promise<string>
}

/** A check that this machine cannot make; the message says why. */
export class Skipped extends Error {}

const exec = promisify(execFile)

/** Runs a command in the project and returns its standard output. Throws with the end of its output if it fails. */
export async function command(
  file: string,
  args: string[],
  { cwd = PROJECT, env = {}, minutes = 10 }: { cwd?: string; env?: Record<string, string>; minutes?: number } = {},
): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, timeout: minutes * 60_000, maxBuffer: 1 << 28 }
  try {
    return (await exec(file, args, options)).stdout
  } catch (error) {
    const { stdout = '', stderr = '', killed } = error as { stdout?: string; stderr?: string; killed?: boolean }
    const reason = killed ? `took more than ${minutes} minutes` : 'failed'
    throw new Error(`${[file, ...args].join(' ')} ${reason}\n${`${stdout}${stderr}`.slice(-4000)}`)
  }
}

/** Throws `Skipped` if one of the commands is not on PATH. */
export async function needs(...commands: string[]): Promise<void> {
  for (const name of commands) {
    await command('sh', ['-c', 'command -v "$0"', name]).catch(() => {
      throw new Skipped(`${name} is not installed`)
    })
  }
}
