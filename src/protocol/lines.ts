import { Problem } from '../errors.ts'
import { LONGEST_LINE } from '../users/longest-line.ts'

/**
 * Characters of the longest row that is read. A user line has half of that: CSV doubles its quotes, and an export with credentials
 * has them behind the line. What is in memory at once is at most one row and a piece of the body.
 */
export const LONGEST_ROW = 2 * LONGEST_LINE

/** Throws `body_too_large` where a row, or the part of it that has come so far, is longer than a row may be. */
export function requireRowLength(length: number): void {
  if (length > LONGEST_ROW) throw new Problem('body_too_large', 'A row is longer than 2 MiB.')
}

/** Cuts text that comes in pieces into its lines, the line ends left off. Throws `body_too_large` where one is too long. */
export class LineCutter {
  #begun = ''

  /** The lines that this piece completes. */
  push(piece: string): string[] {
    const lines = piece.split('\n')
    lines[0] = this.#begun + lines[0]
    this.#begun = lines.pop() ?? ''
    requireRowLength(this.#begun.length)
    for (const line of lines) requireRowLength(line.length)
    return lines
  }

  /** What stands after the last line end. */
  end(): string {
    return this.#begun
  }
}
