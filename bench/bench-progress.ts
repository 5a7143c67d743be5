import type { WriteStream } from 'node:tty'

/** Shows the current step. An empty text clears the line. */
export type Progress = (text: string) => void

/** Nobody watches a log, and it need not contain every line. */
const MIN_MS_BETWEEN_LINES = 1_000

/**
 * On a terminal, one line that is rewritten; otherwise at most one line per second. Shows the seconds since the start.
 */
export function showProgress(stream: WriteStream): Progress {
  const start = performance.now()
  let writtenAt = Number.NEGATIVE_INFINITY
  return (text) => {
    if (!stream.isTTY && performance.now() - writtenAt < MIN_MS_BETWEEN_LINES) return
    writtenAt = performance.now()
    const line = text && `${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`
    // A line wider than the terminal would wrap and could not be rewritten.
    if (stream.isTTY) stream.write(`\r\x1b[K${line.slice(0, (stream.columns || 80) - 1)}`)
    else if (line) stream.write(`${line}\n`)
  }
}
