/** Bytes of the longest user line. The database enforces it for every writer (migrations/0000_foundation.sql). */
export const MAX_LINE_BYTES = 1_048_576

/** The members that determine the length of a user line, apart from the attributes. */
interface NamedUser {
  username: string
  email: string
  role: string
  batch_id: string | null
  created_by_bulk: boolean
}

/** Ids and times always have the same length in a line. */
const ID = '00000000-0000-7000-8000-000000000000'
const TIME = '2000-01-01T00:00:00.000000Z'

/** Returns the bytes of a test user's line whose `custom_attributes` take `attributesBytes`. */
export function lineBytes(user: NamedUser, attributesBytes: number): number {
  const { username, email, role, batch_id, created_by_bulk } = user
  const others = { id: ID, username, email, role, is_test_user: true, batch_id, created_by_bulk, custom_attributes: {} }
  const frame = JSON.stringify({ ...others, created_at: TIME, updated_at: TIME })
  return Buffer.byteLength(frame) - '{}'.length + attributesBytes
}

/**
 * Bytes of a JSON text as PostgreSQL's jsonb writes it: a space after each comma and colon, only the last of several members with
 * one name, and every number with all its digits, so that `1e308` takes 309.
 */
export const jsonbBytes = (text: string): number => count(text).bytes

/** The same for one member of an object's text. Undefined if the object has no such member. */
export const memberBytes = (text: string, member: string): number | undefined => count(text).members[member]

function count(text: string): { bytes: number; members: Record<string, number> } {
  let members: unknown
  // The reviver visits leaves first, so the values in an object or array are byte counts by then. The root comes last.
  const replaceByBytes = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    members = value
    return typeof value === 'number' ? numberBytes(source) : bytesOf(value)
  }
  const bytes: number = JSON.parse(text, replaceByBytes as (name: string, value: unknown) => unknown)
  return { bytes, members: members as Record<string, number> }
}

const textBytes = (text: string) => Buffer.byteLength(JSON.stringify(text))

function bytesOf(value: unknown): number {
  if (typeof value === 'string') return textBytes(value)
  if (typeof value !== 'object' || value === null) return String(value).length
  let bytes = '{}'.length
  for (const [name, size] of Object.entries(value)) {
    bytes += size + (Array.isArray(value) ? 0 : textBytes(name) + ': '.length) + (bytes > 2 ? ', '.length : 0)
  }
  return bytes
}

/** Characters of a JSON number as PostgreSQL's numeric writes it: without an exponent, and with trailing zeros of a fraction. */
export function numberBytes(source: string): number {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source) ?? []
  const firstDigit = (whole + fraction).search(/[1-9]/)
  const isZero = firstDigit < 0
  const wholeDigits = isZero ? 1 : Math.max(1, whole.length + Number(exponent) - firstDigit)
  const fractionDigits = Math.max(0, fraction.length - Number(exponent))
  return (isZero ? 0 : sign.length) + wholeDigits + (fractionDigits > 0 ? 1 + fractionDigits : 0)
}

/** The fault of a user whose line is too long, as said of `custom_attributes`. */
export const TOO_LARGE =
  'makes a user line of more than 1 MiB. A number such as 1e308 counts with all its digits: shorten it, or send it as text'
