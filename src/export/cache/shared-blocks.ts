import type { FileHandle } from 'node:fs/promises'

/** The size of a block, and the maximum that a reader of an export buffers in memory. */
export const BLOCK_BYTES = 65_536

/** 8 MiB. With 64 blocks, 20 clients that read one export at once found four of five blocks in memory, with 20 every third one. */
export const MAX_BLOCKS = 128

/** The most recently used blocks of all open files. Clients of one export read the same blocks, one shortly after the other. */
export interface SharedBlocks {
  /**
   * Returns the bytes from `start` to `end`, which must exist and never change. `start` identifies the block in its file. All callers
   * share one read of the file, while it runs and as long as the block is kept. Throws the error of the disk.
   */
  read(handle: FileHandle, start: number, end: number): Promise<Buffer>
  /** Drops the blocks of a file that is about to be closed. */
  forget(handle: FileHandle): void
}

export function createSharedBlocks(): SharedBlocks {
  const blocks = new Map<string, Promise<Buffer>>()
  const prefixOf = ({ fd }: FileHandle) => `${fd} `

  return {
    read(handle, start, end) {
      const key = `${prefixOf(handle)}${start}`
      const block = blocks.get(key) ?? readBytes(handle, start, end)
      blocks.delete(key)
      blocks.set(key, block) // as the most recently used one
      block.catch(() => blocks.delete(key))
      const [oldest] = blocks.keys()
      if (blocks.size > MAX_BLOCKS && oldest !== undefined) blocks.delete(oldest)
      return block
    },
    forget(handle) {
      for (const key of blocks.keys()) if (key.startsWith(prefixOf(handle))) blocks.delete(key)
    },
  }
}

/** Reads the bytes from `start` to `end`. Throws the error of the disk, also if the file ends before. */
export async function readBytes(handle: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start)
  for (let length = 0; length < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, start + length)
    // Ending here would look to the client like the end of the export.
    if (bytesRead === 0) throw new Error('export file was truncated')
    length += bytesRead
  }
  return bytes
}
