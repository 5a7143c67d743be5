import { Readable } from 'node:stream'
import type { OpenExport } from './open-export.ts'

/** How long a client may take to read an export that holds a snapshot. */
const LONGEST_MS = 300_000

/**
 * The text of an export as a stream, read from the database at its client's pace; the snapshot is given back whatever
 * becomes of it, after five minutes at the latest.
 */
export function directStream({ text, release }: OpenExport): Readable {
  const stream = Readable.from(text, { objectMode: false, highWaterMark: 65_536 })
  const deadline = setTimeout(() => stream.destroy(new Error('An export took too long to be read.')), LONGEST_MS)
  stream.once('close', () => {
    clearTimeout(deadline)
    // A client may be gone before the first read; a text that was never begun would give nothing back by its end.
    void text.return().then(release)
  })
  return stream
}
