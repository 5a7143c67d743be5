import { hash, randomBytes } from 'node:crypto'
import { mkdir, readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Coding } from '../../http/content-coding.ts'

/** A live producer writes continuously. A partial file that is unchanged for this long belongs to a dead process. */
const STALE_MS = 15 * 60_000

/** How long exports bypass the cache after its disk failed. */
const REST_MS = 60_000

/** The folder of the cache. Other processes may share it, so its content is read from the disk each time. */
export interface CacheFolder {
  /** Bytes by which a partial file may grow before it must reserve space again. */
  readonly step: number
  /** Path of the finished export with this key and coding. */
  finishedPath(key: string, coding: Coding): string
  /** A unique path to write that finished file at. Recreates the folder if it was deleted. */
  partialPath(finished: string): Promise<string>
  /**
   * Deletes the least recently used exports until the rest fits the limit. Each partial file counts with the size to
   * which it may grow. Also deletes partial files of dead processes. Returns false if the partial files alone exceed
   * the limit.
   */
  makeRoom(): Promise<boolean>
  /** Whether an export of this size can be cached. Always false for a minute after the disk failed. */
  fits(bytes: number): boolean
  /** Returns the same promise. If it rejects, remembers that the disk failed. */
  watch<Result>(work: Promise<Result>): Promise<Result>
}

/**
 * Creates the folder if it is missing, readable only by this user, and trims its content to the limit. An existing
 * folder keeps its mode, because others may need it. The files are always readable only by this user.
 */
export async function openCacheFolder(path: string, limitBytes: number): Promise<CacheFolder> {
  const step = Math.ceil(limitBytes / 256)
  const mayGrowTo = (size: number) => (Math.floor(size / step) + 1) * step
  let restUntil = 0

  const makeRoom = async () => {
    const { finished, partial } = await listFiles(path)
    const stale = partial.filter(({ mtimeMs }) => Date.now() - mtimeMs > STALE_MS)
    for (const file of stale) await remove(file.path)
    const growing = sum(partial.filter((file) => !stale.includes(file)).map(({ size }) => mayGrowTo(size)))
    if (growing > limitBytes) return false
    let total = growing + sum(finished.map(({ size }) => size))
    for (const file of finished.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= limitBytes) break
      await remove(file.path)
      total -= file.size
    }
    return true
  }

  const make = () => mkdir(path, { recursive: true, mode: 0o700 })
  await make()
  await makeRoom()
  return {
    step,
    finishedPath: (key, coding) => join(path, hash('sha256', `${coding}\n${key}`)),
    async partialPath(finished) {
      await make()
      return `${finished}.${randomBytes(8).toString('hex')}.partial`
    },
    makeRoom,
    fits: (bytes) => bytes <= limitBytes && Date.now() >= restUntil,
    async watch(work) {
      try {
        return await work
      } catch (error) {
        restUntil = Date.now() + REST_MS
        throw error
      }
    },
  }
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)

const FINISHED = /^[0-9a-f]{64}$/
const PARTIAL = /^[0-9a-f]{64}\.[0-9a-f]{16}\.partial$/

interface CacheFile {
  path: string
  /** Bytes. */
  size: number
  /** When the file was last written or used, in milliseconds since 1970. */
  mtimeMs: number
}

/** Lists the cache's files in the folder, by their names. Other files are never counted and never deleted. */
async function listFiles(folder: string): Promise<{ finished: CacheFile[]; partial: CacheFile[] }> {
  const entries = await readdir(folder, { withFileTypes: true })
  const matching = async (pattern: RegExp) => {
    const ours = entries.filter((entry) => entry.isFile() && pattern.test(entry.name))
    const files = ours.map(async ({ name }) => {
      const path = join(folder, name)
      const found = await unlessGone(stat(path))
      return found ? [{ path, size: found.size, mtimeMs: found.mtimeMs }] : []
    })
    return (await Promise.all(files)).flat()
  }
  return { finished: await matching(FINISHED), partial: await matching(PARTIAL) }
}

/** Deletes the file if it exists. Current readers continue: the bytes remain until the last handle is closed. */
export const remove = (path: string) => unlessGone(unlink(path))

/** Returns the result of `work`, or undefined if the file does not exist, for example because another process deleted it. */
export async function unlessGone<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}
