import type { WriteStream } from 'node:tty'
import { untrustedText } from '../protocol/untrusted-text.ts'
import type { Transferred } from './transfer.ts'

/** Minimum time between two updates of a terminal line. */
const MIN_MS_BETWEEN = 100

/** Maximum length of a line, since it may contain text from a server. */
const MAX_LINE = 2_000

export interface Report {
  /** Rewrites the last line of a terminal. Writes nothing if the output is not a terminal. */
  progress(text: string): void
  /** Removes the line that `progress` wrote. */
  clear(): void
  /** Writes a permanent line. */
  line(text: string): void
}

/** Standard error, or what stands for it. */
export type Terminal = Pick<WriteStream, 'isTTY' | 'columns'> & { write(text: string): unknown }

export function createReport(stream: Terminal): Report {
  let writtenAt = Number.NEGATIVE_INFINITY
  const erase = stream.isTTY ? '\r\x1b[K' : ''
  const clear = () => {
    if (writtenAt > 0) stream.write(erase)
    writtenAt = Number.NEGATIVE_INFINITY
  }
  return {
    clear,
    progress(text) {
      if (!stream.isTTY || performance.now() - writtenAt < MIN_MS_BETWEEN) return
      writtenAt = performance.now()
      stream.write(erase + text.slice(0, (stream.columns || 80) - 1)) // a wider line would wrap and could not be rewritten
    },
    line(text) {
      clear()
      stream.write(`${untrustedText(text, MAX_LINE)}\n`)
    },
  }
}

/** Describes a round, such as `delta +12 ~3 -1, 5,011 users, state u1-ab12…, 14 KB, 0.12 s`. */
export function roundText({ kind, counts, local, bytes }: Transferred, milliseconds: number): string {
  const { added, updated, deleted } = counts
  const what = kind === 'delta' ? `delta +${added} ~${updated} -${deleted}` : kind
  const state = `${local.state.slice(0, 7)}…`
  return `${what}, ${count(local.users)} users, state ${state}, ${size(bytes)}, ${(milliseconds / 1000).toFixed(2)} s`
}

/** Describes the progress of a transfer, such as `full, 12,000 of 200,000 users (6 %), 14 KB`. */
export function progressText(kind: string, users: number, total: number, bytes: number): string {
  const share = total > 0 ? ` of ${count(total)} users (${Math.floor((100 * users) / total)} %)` : ' users'
  return `${kind}, ${count(users)}${share}, ${size(bytes)}`
}

const count = (number: number) => number.toLocaleString('en-US')

function size(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}
