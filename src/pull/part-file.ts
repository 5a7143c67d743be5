import { createHash } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import type { Room } from './room.ts'

/** A file that is being written beside the one that it is to replace. */
export interface PartFile {
  /** Appends. Throws NoRoom. */
  write(text: string): Promise<void>
  /** The SHA-256 of what was appended so far. */
  sum(): string
  /** Writes over the beginning: a text as long as the reserved one. */
  writeReserved(text: string): Promise<void>
  /** Waits for the disk. Otherwise a power cut may leave the name with a file of zeros. */
  finish(): Promise<void>
  /** Takes the place of the file. */
  replace(): Promise<void>
  /** Removes what did not take its place. */
  [Symbol.asyncDispose](): Promise<void>
}

const partOf = (path: string) => `${path}.part`

/** Removes what a killed pull left half-written. The lock on `out` is held. */
export const removePart = (path: string) => rm(partOf(path), { force: true })

/**
 * Creates the file that is to replace `path`, with these permissions. `reserved` stands at its beginning, in place of what is
 * known only once the rest is written.
 */
export async function createPart(path: string, mode: number, room: Room, reserved = ''): Promise<PartFile> {
  const part = partOf(path)
  await removePart(path)
  const handle = await open(part, 'wx', mode)
  const digest = createHash('sha256')
  await handle.writeFile(reserved)
  return {
    async write(text) {
      const bytes = Buffer.from(text)
      await room.take(bytes.length)
      digest.update(bytes)
      await handle.writeFile(bytes)
    },
    sum: () => digest.copy().digest('hex'),
    async writeReserved(text) {
      await handle.write(text, 0)
    },
    async finish() {
      await handle.sync()
      await handle.close()
    },
    replace: () => rename(part, path),
    async [Symbol.asyncDispose]() {
      await handle.close()
      await removePart(path)
    },
  }
}
