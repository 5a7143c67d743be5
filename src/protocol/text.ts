import { MAX_LINE_BYTES } from './longest-line.ts'

/** The text of an export in chunks: characters, or UTF-8 bytes as PostgreSQL sent them. */
export type Text = AsyncGenerator<string | Buffer, void, void>

/** Converts the chunks to characters. PostgreSQL's bytes never end within a character. */
export async function* characters(text: Text): AsyncGenerator<string, void, void> {
  for await (const part of text) yield String(part)
}

/**
 * Characters of the longest accepted row. A user line has half of that: CSV doubles quotes, and an export with credentials
 * appends them to the line. Memory holds at most one row and one chunk of the body.
 */
export const MAX_ROW_LENGTH = 2 * MAX_LINE_BYTES

/** Throws ContentError `too_large` if a row, or the part of it that has arrived, is too long. */
export function requireRowLength(length: number): void {
  if (length > MAX_ROW_LENGTH) throw new ContentError('too_large', 'A row is longer than 2 MiB.')
}

/** Splits text that arrives in chunks into lines, without the line ends. Throws ContentError `too_large` if a line is too long. */
export class LineCutter {
  #begun = ''

  /** Returns the lines that this chunk completes. */
  push(piece: string): string[] {
    const lines = piece.split('\n')
    lines[0] = this.#begun + lines[0]
    this.#begun = lines.pop() ?? ''
    requireRowLength(this.#begun.length)
    for (const line of lines) requireRowLength(line.length)
    return lines
  }

  /** Returns the text after the last line end. */
  end(): string {
    return this.#begun
  }
}

/** Why a body cannot be read: an unknown coding, bytes that do not match their coding or are not UTF-8, or too many of them. */
export type ContentFault = 'unknown_coding' | 'undecodable' | 'too_large'

/** Thrown if the bytes or the rows of a body, a response or a file cannot be read, whatever they mean. */
export class ContentError extends Error {
  override name = 'ContentError'
  readonly fault: ContentFault

  constructor(fault: ContentFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.fault = fault
  }
}
