import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const FINISHED = /^[0-9a-f]{64}$/
const PARTIAL = /^[0-9a-f]{64}\.[0-9a-f]{16}\.partial$/

export interface CacheFile {
  path: string
  /** Bytes. */
  size: number
  /** When the file was last written or used, in milliseconds since 1970. */
  mtimeMs: number
}

/** Lists the cache's files in the folder, by their names. Other files are never counted and never deleted. */
export async function listFiles(folder: string): Promise<{ finished: CacheFile[]; partial: CacheFile[] }> {
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
