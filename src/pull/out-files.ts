import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { tryLock } from '../file-lock.ts'
import { UsageError } from './usage-error.ts'

/** Where a pull keeps what. All of it is in one folder, so that a rename replaces a file at once. */
export interface OutFiles {
  out: string
  /** The users that `out` tells, as NDJSON in id order: what deltas are applied to. */
  base: string
  folder: string
}

export const outFiles = (out: string): OutFiles => ({ out, base: `${out}.base`, folder: dirname(out) })

/**
 * Keeps other pulls from `out` until the lock is disposed of, or the process is gone: no kill leaves a stale one. The file
 * of the lock stays: whoever removed it could remove the one that another has just locked. Throws UsageError where another
 * pull is at work, or nothing can be written there.
 */
export async function lockOut({ out, folder }: OutFiles): Promise<Disposable> {
  if (!(await lstat(folder).catch(() => undefined))) throw new UsageError(`--out: there is no folder ${folder}`)
  const present = await lstat(out).catch(() => undefined)
  if (present && !present.isFile()) throw new UsageError(`--out: ${out} is no ordinary file`)
  const lock = lockOf(`${out}.lock`)
  if (!lock) throw new UsageError(`--out: another pull keeps ${out} in step`)
  return lock
}

function lockOf(path: string): Disposable | undefined {
  try {
    return tryLock(path, 'exclusive')
  } catch (cause) {
    throw new UsageError(`--out: ${path} cannot be written`, { cause })
  }
}
