import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'

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

/** Size of one read, and the maximum that a follower buffers in memory. */
const READ_BYTES = 65_536

/**
 * Streams the whole file from its start, at the speed of the reader. At the end of the written part it waits for more.
 * Calls `leave` once, when the stream has ended or was destroyed, read or not.
 */
export function followFile(file: GrowingFile, leave: () => void): Readable {
  let position = 0
  const readNext = async (stream: Readable) => {
    while (position === file.readable() && !file.complete() && !stream.destroyed) await file.changed()
    if (stream.destroyed) return
    if (position === file.readable()) {
      stream.push(null)
      return
    }
    const chunk = file.latest(position)?.subarray(0, READ_BYTES) ?? (await readChunk(file, position))
    position += chunk.length
    stream.push(chunk)
  }
  const follower = new Readable({
    highWaterMark: READ_BYTES,
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

async function readChunk({ handle, readable }: GrowingFile, position: number): Promise<Buffer> {
  const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, readable() - position))
  const { bytesRead } = await handle.read(chunk, 0, chunk.length, position)
  // Ending the stream here would look to the client like the end of the export.
  if (bytesRead === 0) throw new Error('export file was truncated')
  return chunk.subarray(0, bytesRead)
}
