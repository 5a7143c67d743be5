import type { WriteStream } from 'node:tty'

/** Tells what is being done; an empty text clears the line. */
export type Progress = (text: string) => void

/** Elsewhere than on a terminal nobody watches, and a log need not have every line. */
const MIN_MS_BETWEEN_LINES = 1_000

/** One line that is rewritten on a terminal; elsewhere a line a second at most. Shows the seconds since the start. */
export function showProgress(stream: WriteStream): Progress {
  const start = performance.now()
  let writtenAt = Number.NEGATIVE_INFINITY
  return (text) => {
    if (!stream.isTTY && performance.now() - writtenAt < MIN_MS_BETWEEN_LINES) return
    writtenAt = performance.now()
    const line = text && `${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`
    // A line that is wider than the terminal would wrap, and could not be rewritten.
    if (stream.isTTY) stream.write(`\r\x1b[K${line.slice(0, (stream.columns || 80) - 1)}`)
    else if (line) stream.write(`${line}\n`)
  }
}
