import { type FileHandle, open, rename } from 'node:fs/promises'
import { type CacheFolder, remove, unlessGone } from './cache-folder.ts'

/** An export in progress, in a file with a temporary name until it is complete. */
export interface PartialFile {
  handle: FileHandle
  /** Appends. Throws the errors of the disk. */
  write(chunk: Buffer): Promise<void>
  /** Renames the complete export to its final name, unless it did not fit. */
  keep(): Promise<void>
  /** Deletes the name. The bytes remain for readers that have the handle. */
  discard(): Promise<void>
}

/** Creates the file that `keep` will rename to `finished`. */
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
        // If the file does not fit, its followers still need it: it continues without a name and disappears with its
        // handle.
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

const TRAILER_BYTES = 8

/**
 * The trailer of a finished file: the length of the export before it. The file is flushed to disk before it gets its
 * final name, so a power cut leaves no truncated file. But a file system repair or a careless copy may truncate it, and
 * a truncated export must not be served as complete. The length is in the file and not in its name, because two
 * processes that produce the same export must use the same name.
 */
function trailer(bytes: number): Buffer {
  const buffer = Buffer.alloc(TRAILER_BYTES)
  buffer.writeBigUInt64BE(BigInt(bytes))
  return buffer
}

/**
 * Opens the finished file and returns the length of its export. Returns undefined if there is none, or if it is
 * truncated.
 */
export async function openFinished(path: string): Promise<{ handle: FileHandle; bytes: number } | undefined> {
  const handle = await unlessGone(open(path, 'r'))
  if (!handle) return undefined
  try {
    const bytes = (await handle.stat()).size - TRAILER_BYTES
    const end = Buffer.alloc(TRAILER_BYTES)
    if (bytes >= 0) await handle.read(end, 0, TRAILER_BYTES, bytes)
    if (bytes >= 0 && end.equals(trailer(bytes))) return { handle, bytes }
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  return undefined
}
