import { type FileHandle, open } from 'node:fs/promises'
import { unlessGone } from './files.ts'

const TRAILER_BYTES = 8

/**
 * The trailer of a finished file: the length of the export before it. The file is flushed to disk before it gets its
 * final name, so a power cut leaves no truncated file. But a file system repair or a careless copy may truncate it, and
 * a truncated export must not be served as complete. The length is in the file and not in its name, because two
 * processes that produce the same export must use the same name.
 */
export function trailer(bytes: number): Buffer {
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
