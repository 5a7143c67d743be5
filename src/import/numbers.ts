import { numberBytes } from '../users/longest-line.ts'

/** Such a number may be in the text; in most texts none is, and they need no closer look. */
const UNUSUAL = /\d[eE][+-]?\d{3}|\d{400}/

/** Characters of the longest number. A double needs at most 344, an exact one of an export as many as it has. */
const LONGEST_NUMBER = 1_000

/**
 * Whether every number of a JSON text is short as PostgreSQL writes it: `1e-9999` takes ten thousand characters. The rule goes by
 * what is written, so that an import takes back each number that it took.
 */
export function numbersFit(text: string): boolean {
  if (!UNUSUAL.test(text)) return true
  let fit = true
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && numberBytes(source) > LONGEST_NUMBER) fit = false
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
  return fit
}
