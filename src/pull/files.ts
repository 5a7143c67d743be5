import { createHash } from 'node:crypto'
import { lstat, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { tryLock } from '../process/file-lock.ts'
import { UsageError } from './cli.ts'
import type { Room } from './room.ts'

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

/** A file that is being written beside the one that it is to replace. */
export interface PartFile {
  /** Appends. Throws NoRoom. */
  write(text: string): Promise<void>
  /** The SHA-256 of what was appended so far. */
  sum(): string
  /** Writes over the beginning: a text as long as the reserved one. */
  writeReserved(text: string): Promise<void>
  /** Waits for the disk. Otherwise a power cut may leave the name with a file of zeros. */
  finish(): Promise<void>
  /** Takes the place of the file. */
  replace(): Promise<void>
  /** Removes what did not take its place. */
  [Symbol.asyncDispose](): Promise<void>
}

const partOf = (path: string) => `${path}.part`

/** Removes what a killed pull left half-written. The lock on `out` is held. */
export const removePart = (path: string) => rm(partOf(path), { force: true })

/**
 * Creates the file that is to replace `path`, with these permissions. `reserved` stands at its beginning, in place of what is
 * known only once the rest is written.
 */
export async function createPart(path: string, mode: number, room: Room, reserved = ''): Promise<PartFile> {
  const part = partOf(path)
  await removePart(path)
  const handle = await open(part, 'wx', mode)
  const digest = createHash('sha256')
  await handle.writeFile(reserved)
  return {
    async write(text) {
      const bytes = Buffer.from(text)
      await room.take(bytes.length)
      digest.update(bytes)
      await handle.writeFile(bytes)
    },
    sum: () => digest.copy().digest('hex'),
    async writeReserved(text) {
      await handle.write(text, 0)
    },
    async finish() {
      await handle.sync()
      await handle.close()
    },
    replace: () => rename(part, path),
    async [Symbol.asyncDispose]() {
      await handle.close()
      await removePart(path)
    },
  }
}
