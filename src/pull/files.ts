import { createHash } from 'node:crypto'
import { readSync } from 'node:fs'
import { lstat, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UsageError } from '../client/service-options.ts'
import { isDiskFull } from '../process/disk-full.ts'
import { LocksMissing, tryLock } from '../process/file-lock.ts'
import { NoRoom, type Room } from './room.ts'

/** The files of a pull. All are in one folder, so that a rename replaces a file atomically. */
export interface OutFiles {
  out: string
  /** The users of `out`, as NDJSON in id order. Deltas are applied to it. */
  base: string
  folder: string
}

export const outFiles = (out: string): OutFiles => ({ out, base: `${out}.base`, folder: dirname(out) })

/**
 * Locks `out` against other pulls until the lock is disposed of or the process ends; a kill leaves no stale lock. The lock file
 * stays: removing it could remove the file that another process has just locked. Throws UsageError if another pull is running, or
 * the folder is not writable, and NoRoom.
 */
export async function lockOut({ out, folder }: OutFiles): Promise<Disposable> {
  if (!(await lstat(folder).catch(() => undefined))) throw new UsageError(`--out: there is no folder ${folder}`)
  const present = await lstat(out).catch(() => undefined)
  if (present && !present.isFile()) throw new UsageError(`--out: ${out} is not a regular file`)
  const lock = lockOf(`${out}.lock`)
  if (!lock) throw new UsageError(`--out: another pull keeps ${out} in sync`)
  return lock
}

function lockOf(path: string): Disposable | undefined {
  try {
    return tryLock(path, 'exclusive')
  } catch (cause) {
    if (cause instanceof LocksMissing) throw new UsageError(cause.message)
    if (cause instanceof Error && isDiskFull(cause.cause)) throw new NoRoom(`the disk of ${dirname(path)} is full`)
    throw new UsageError(`--out: ${path} cannot be written`, { cause })
  }
}

/** A file that is being written next to the file that it will replace. */
export interface PartFile {
  /** Appends text. Throws NoRoom. */
  write(text: string): Promise<void>
  /** Returns the SHA-256 of the text appended so far. */
  sum(): string
  /** Returns this part of what was written. Does not wait: one read takes microseconds, and a shuffle needs one for each user. */
  readAt(position: number, bytes: number): string
  /** Overwrites the reserved text at the beginning with a text of the same length. */
  writeReserved(text: string): Promise<void>
  /** Syncs to disk. Otherwise a power cut may leave a file of zeros. */
  finish(): Promise<void>
  /** Replaces the file by rename. */
  replace(): Promise<void>
  /** Removes the part file, unless it replaced the file. */
  [Symbol.asyncDispose](): Promise<void>
}

const partOf = (path: string) => `${path}.part`

/** Removes what a killed pull left half-written. The caller must have the lock on `out`. */
export const removePart = (path: string) => rm(partOf(path), { force: true })

/**
 * Creates the file that will replace `path`, with these permissions. `reserved` is its beginning, a placeholder for text that is
 * known only after the rest is written. Throws NoRoom.
 */
export async function createPart(path: string, mode: number, room: Room, reserved = ''): Promise<PartFile> {
  const part = partOf(path)
  await removePart(path)
  await room.take(Buffer.byteLength(reserved)) // before the file is there
  const handle = await open(part, 'wx+', mode)
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
    readAt(position, bytes) {
      const buffer = Buffer.allocUnsafe(bytes)
      return buffer.toString('utf8', 0, readSync(handle.fd, buffer, 0, bytes, position))
    },
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
