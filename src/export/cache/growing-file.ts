import type { FileHandle } from 'node:fs/promises'

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
