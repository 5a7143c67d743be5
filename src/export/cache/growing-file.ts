import type { FileHandle } from 'node:fs/promises'

/** A file as those see it who read it while it is written. All share its one handle, each with a position of its own. */
export interface GrowingFile {
  readonly handle: FileHandle
  /** Bytes that may be read by now. */
  readable(): number
  /** Whether no more will come. */
  complete(): boolean
  /** Resolves when the file has grown or is complete. */
  changed(): Promise<void>
  /** The same bytes must have been written at its end. */
  grow(written: Buffer): void
  /** What came last, from `position` on: who keeps up with the writer need not read it from the file. Undefined before that. */
  latest(position: number): Buffer | undefined
  finish(): void
}

/** The file of `handle`, of which the first `readable` bytes are there. */
export function createGrowingFile(handle: FileHandle, readable: number): GrowingFile {
  let complete = false
  let last: Buffer | undefined
  let change = Promise.withResolvers<void>()
  const tell = () => {
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
      tell()
    },
    latest(position) {
      const start = readable - (last?.length ?? 0)
      return position >= start ? last?.subarray(position - start) : undefined
    },
    finish() {
      complete = true
      last = undefined
      tell()
    },
  }
}
