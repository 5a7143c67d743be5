import { requireRowLength } from './row-limit.ts'

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
