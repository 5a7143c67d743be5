import { type FileHandle, open } from 'node:fs/promises'
import { unlessGone } from './files.ts'

const TRAILER_BYTES = 8

/**
 * The last bytes of a finished file: the length of the export before them. The file is on the disk before it gets its name,
 * so a power cut leaves no half of it there; but what a repaired file system or a careless copy has cut must not be served
 * as whole either. In the file and not in its name, since two processes that make the same export must come to one name.
 */
export function trailer(bytes: number): Buffer {
  const buffer = Buffer.alloc(TRAILER_BYTES)
  buffer.writeBigUInt64BE(BigInt(bytes))
  return buffer
}

/** Opens the finished file, and tells the length of its export; undefined where there is none, or one that was cut. */
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
