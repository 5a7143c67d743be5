import { statfs } from 'node:fs/promises'
import { isDiskFull } from '../process/disk-full.ts'

/** Free space that a pull leaves on a disk for other programs. On a small disk it leaves a tenth. */
const RESERVE_BYTES = 1_000_000_000
const RESERVE_SHARE = 0.1

/** The free space is checked again after this many bytes, or after half of what is free: a disk may be small. */
const BYTES_BETWEEN_LOOKS = 16_777_216

/** Thrown if the users need more space than the disk or `--max-mb` allows. */
export class NoRoom extends Error {
  override name = 'NoRoom'
}

/** Whether the disk, or `--max-mb`, has no room for what a program writes. */
export const isNoRoom = (error: unknown): boolean => error instanceof NoRoom || isDiskFull(error)

/** Limits what a round writes, whatever the server sends. */
export interface Room {
  /** Reserves space for this many bytes. Throws NoRoom. */
  take(bytes: number): Promise<void>
}

export function createRoom(folder: string, maxBytes = Number.POSITIVE_INFINITY): Room {
  let taken = 0
  let nextLook = 0
  return {
    async take(bytes) {
      taken += bytes
      if (taken > maxBytes) throw new NoRoom(`the users need more than ${maxBytes / 1_000_000} MB (--max-mb)`)
      if (taken < nextLook) return
      const { bavail, blocks, bsize } = await statfs(folder)
      const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_SHARE)
      const left = bavail * bsize - reserve - bytes
      nextLook = taken + Math.min(BYTES_BETWEEN_LOOKS, left / 2)
      if (left < 0) throw new NoRoom(`the disk of ${folder} has less than ${Math.ceil(reserve / 1_000_000)} MB left`)
    },
  }
}
