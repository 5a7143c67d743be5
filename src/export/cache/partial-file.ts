import { type FileHandle, open, rename } from 'node:fs/promises'
import type { CacheFolder } from './cache-folder.ts'
import { remove } from './files.ts'
import { trailer } from './finished-file.ts'

/** An export that is being written, under a name of its own until it is whole. */
export interface PartialFile {
  handle: FileHandle
  /** Appends; throws as the disk does. */
  write(chunk: Buffer): Promise<void>
  /** Gives the whole export its place in the cache, unless it did not fit. */
  keep(): Promise<void>
  /** Takes its name away. The bytes stay for those who have the handle. */
  discard(): Promise<void>
}

/** Makes the file that `keep` will put at the path `finished`. */
export async function createPartialFile(folder: CacheFolder, finished: string): Promise<PartialFile> {
  const path = await folder.watch(folder.partialPath(finished))
  const handle = await folder.watch(open(path, 'wx+', 0o600))
  let length = 0
  let room = 0
  let named = true

  const discard = async () => {
    named = false
    await remove(path)
  }
  const append = async (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      if (named && length === room) {
        // What does not fit is still owed to those who follow it: it goes on without a name, and is gone with its handle.
        if (await folder.makeRoom()) room += folder.step
        else await discard()
      }
      const most = named ? room - length : Number.POSITIVE_INFINITY
      const { bytesWritten } = await handle.write(chunk, at, Math.min(chunk.length - at, most), length)
      at += bytesWritten
      length += bytesWritten
    }
  }
  const keep = async () => {
    await append(trailer(length))
    if (!named) return
    await handle.datasync() // otherwise a power cut may leave the name with a file of zeros
    await rename(path, finished)
  }
  return { handle, write: (chunk) => folder.watch(append(chunk)), keep: () => folder.watch(keep()), discard }
}
