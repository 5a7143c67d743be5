import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { BLOCK_BYTES, readBytes, type SharedBlocks } from './shared-blocks.ts'

/** A file that is read while it is written. All readers share one handle, each with its own position. */
export interface GrowingFile {
  readonly handle: FileHandle
  /** Bytes that can be read now. */
  readable(): number
  /** Whether the file is complete. */
  complete(): boolean
  /** Resolves when the file has grown or is complete. */
  changed(): Promise<void>
  /** Reports that these bytes were appended. */
  grow(written: Buffer): void
  /**
   * The most recent bytes, from `position` on, so that a reader that keeps up need not read the file. Undefined for
   * older positions.
   */
  latest(position: number): Buffer | undefined
  finish(): void
}

/** Wraps the file of `handle`, of which the first `readable` bytes exist. */
export function createGrowingFile(handle: FileHandle, readable: number): GrowingFile {
  let complete = false
  let last: Buffer | undefined
  let change = Promise.withResolvers<void>()
  const notify = () => {
    change.resolve()
    change = Promise.withResolvers()
  }
  return {
    handle,
    readable: () => readable,
    complete: () => complete,
    changed: () => change.promise,
    grow(written) {
      last = written
      readable += written.length
      notify()
    },
    latest(position) {
      const start = readable - (last?.length ?? 0)
      return position >= start ? last?.subarray(position - start) : undefined
    },
    finish() {
      complete = true
      last = undefined
      notify()
    },
  }
}

/**
 * Streams the whole file from its start, at the speed of the reader. At the end of the written part it waits for more.
 * Calls `leave` once, when the stream has ended or was destroyed, read or not.
 */
export function followFile(file: GrowingFile, blocks: SharedBlocks, leave: () => void): Readable {
  let position = 0
  const readNext = async (stream: Readable) => {
    while (position === file.readable() && !file.complete() && !stream.destroyed) await file.changed()
    if (stream.destroyed) return
    if (position === file.readable()) {
      stream.push(null)
      return
    }
    const chunk = file.latest(position)?.subarray(0, BLOCK_BYTES) ?? (await readOlder(file, blocks, position))
    position += chunk.length
    stream.push(chunk)
  }
  const follower = new Readable({
    highWaterMark: BLOCK_BYTES,
    read() {
      readNext(this).catch((error) => this.destroy(error))
    },
    destroy(error, callback) {
      leave()
      callback(error)
    },
  })
  // The stream may be destroyed before its reader listens, and an unhandled error would end the process. A later
  // listener still receives the error.
  return follower.on('error', () => {})
}

/** Reads bytes that are no longer in memory. A block that still grows is not shared. */
async function readOlder(file: GrowingFile, blocks: SharedBlocks, position: number): Promise<Buffer> {
  const start = position - (position % BLOCK_BYTES)
  const end = Math.min(start + BLOCK_BYTES, file.readable())
  if (end - start < BLOCK_BYTES && !file.complete()) return await readBytes(file.handle, position, end)
  const block = await blocks.read(file.handle, start, end)
  return block.subarray(position - start)
}
