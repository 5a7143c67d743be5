import { Problem } from '../errors.ts'

/** PostgreSQL reads JSON recursively, and gives up at some thousands; nobody's attributes are this deep. */
const DEEPEST = 100

/**
 * Makes sure that a body can be kept as it is: half of a surrogate pair would silently become U+FFFD, a number that no
 * double holds null, and what is nested too deeply cannot be read. Throws `invalid_request`.
 */
export function requireStorable(value: unknown, depth = 0): void {
  if (depth > DEEPEST) throw new Problem('invalid_request', `The body is nested deeper than ${DEEPEST} levels.`)
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw new Problem('invalid_request', 'A text holds half of a surrogate pair, which cannot be stored.')
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new Problem('invalid_request', 'A number is larger than a double holds: send it as text.')
  }
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    requireStorable(name, depth)
    requireStorable(member, depth + 1)
  }
}

/** A whole number that no double may hold has so many digits at least; in most texts there are none. */
const MANY_DIGITS = /\d{16}/

/**
 * Makes sure that each whole number of a JSON text is the one that `JSON.parse` made of it: an id of 18 digits would silently
 * become another one (RFC 8259 section 6). Throws `invalid_request`.
 */
export function requireExactNumbers(text: string): void {
  if (!MANY_DIGITS.test(text)) return
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && /^-?\d+$/.test(source) && BigInt(source) !== BigInt(value)) {
      throw new Problem('invalid_request', 'A whole number has more digits than are kept of it: send it as text.')
    }
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
}
