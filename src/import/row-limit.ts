import { Problem } from '../errors.ts'

/** Characters of the longest row: what is read at once is at the most this, and a piece of the body. */
export const LONGEST_ROW = 1_048_576

/** Throws `body_too_large` where a row, or what is read of it so far, is longer than a row may be. */
export function requireRowLength(length: number): void {
  if (length > LONGEST_ROW) throw new Problem('body_too_large', 'A row is longer than 1 MiB.')
}
