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
  grow(bytes: number): void
  finish(): void
}

/** The file of `handle`, of which the first `readable` bytes are there. */
export function createGrowingFile(handle: FileHandle, readable: number): GrowingFile {
  let complete = false
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
    grow(bytes) {
      readable += bytes
      tell()
    },
    finish() {
      complete = true
      tell()
    },
  }
}
