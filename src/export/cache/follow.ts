import { Readable } from 'node:stream'
import type { GrowingFile } from './growing-file.ts'

/** Bytes that a follower reads at once, and the most that it holds in memory. */
const READ_BYTES = 65_536

/**
 * The whole of the file from its start, at the speed of whoever reads the stream. At the end of what is written it waits
 * for more. `leave` is called once, when the stream has ended or was destroyed, read or not.
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
  // It may be destroyed before its reader listens; that must not end the process. Who listens later is told all the same.
  return follower.on('error', () => {})
}

async function readChunk({ handle, readable }: GrowingFile, position: number): Promise<Buffer> {
  const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, readable() - position))
  const { bytesRead } = await handle.read(chunk, 0, chunk.length, position)
  // An end here would look to the client like the end of the export.
  if (bytesRead === 0) throw new Error('The file of an export is shorter than it was.')
  return chunk.subarray(0, bytesRead)
}
