import { hash, randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Coding } from '../../http/content-coding.ts'
import { listFiles, remove } from './files.ts'

/** A live producer writes all the time; a partial file that was not written for this long is of one that died. */
const STALE_MS = 15 * 60_000

/** How long the cache is left alone after its disk failed, so that exports go past it meanwhile. */
const REST_MS = 60_000

/** The folder of the cache. Other processes may use it too, so its content is counted anew each time, from itself. */
export interface CacheFolder {
  /** Bytes by which a partial file may grow before room is made again. */
  readonly step: number
  /** Where the finished export of this key and coding is kept. */
  finishedPath(key: string, coding: Coding): string
  /** A path that nobody uses, to write that finished file at. Makes the folder anew where somebody has deleted it. */
  partialPath(finished: string): Promise<string>
  /**
   * Deletes the exports that were not used for longest until all that is left fits the limit, each partial file counted
   * as what it may grow to; also partial files whose process died. False where the partial files alone do not fit.
   */
  makeRoom(): Promise<boolean>
  /** Whether an export of so many bytes can be kept; for a minute after the disk failed none can. */
  fits(bytes: number): boolean
  /** The same promise; remembers that the disk failed if it rejects. */
  watch<Result>(work: Promise<Result>): Promise<Result>
}

/**
 * Makes the folder, if missing, for this user alone, and brings what is in it within the limit. A folder that exists
 * keeps its mode, since others may need it; the files are for this user alone whatever it is.
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
