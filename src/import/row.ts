import { EMAIL_EXPECTED, EMAIL_FORM, isReserved } from '../config/reserved-domain.ts'
import { Problem } from '../errors.ts'
import { holdsNul, requireStorable } from '../http/validation.ts'
import { lineBytes, MAX_LINE_BYTES, memberBytes, numberBytes, TOO_LARGE } from '../protocol/longest-line.ts'
import { isTime } from '../protocol/time.ts'
import { CREDENTIALS, UUID_FORM } from '../protocol/user-line.ts'
import { NAME_EXPECTED, NAME_FORM } from '../users/user-schema.ts'

/** A row of an upload. */
export interface GivenRow {
  /** JSON text. PostgreSQL reads it with every digit of its numbers. */
  text: string
  /** The parsed text, for validation. Undefined if it is not JSON, or if a CSV row has the wrong number of cells. */
  value: unknown
}

/** Parses a row's text. Invalid JSON is still a row; its validation reports the fault. */
export function givenRow(text: string): GivenRow {
  try {
    return { text, value: JSON.parse(text) }
  } catch {
    return { text, value: undefined }
  }
}

interface Member {
  expects: string
  is: (value: unknown) => boolean
  /** Whether the value is plain text. Otherwise it is JSON. */
  isText: boolean
}

const isId = (value: unknown) => typeof value === 'string' && UUID_FORM.test(value)
const isBoolean = (value: unknown) => typeof value === 'boolean'

/** Whether the value is a JSON object. */
function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text of 1 to `longest` characters, counted as PostgreSQL does, without whitespace at either end. */
const isNameUpTo = (longest: number) => (value: unknown) =>
  typeof value === 'string' &&
  value !== '' &&
  NAME_FORM.test(value) &&
  (value.length <= longest || [...value].length <= longest)
const isName = isNameUpTo(254)

const id: Member = { expects: 'a UUID', is: isId, isText: true }
const flag: Member = { expects: 'true or false', is: isBoolean, isText: false }
const time: Member = { expects: 'an RFC 3339 time of the years 0001 to 9999', is: isTime, isText: true }

/** The members of a user that an import accepts: those of an export. */
export const MEMBERS: Record<string, Member> = {
  id,
  username: { expects: `1 to 254 characters, ${NAME_EXPECTED}`, is: isName, isText: true },
  email: {
    expects: `${EMAIL_EXPECTED}, of at most 254 characters`,
    is: (value) => isName(value) && EMAIL_FORM.test(value as string),
    isText: true,
  },
  role: { expects: `1 to 64 characters, ${NAME_EXPECTED}`, is: isNameUpTo(64), isText: true },
  is_test_user: flag,
  batch_id: { expects: 'a UUID or null', is: (value) => value === null || isId(value), isText: true },
  created_by_bulk: flag,
  custom_attributes: {
    expects: 'an object',
    is: isObject,
    isText: false,
  },
  created_at: time,
  updated_at: time,
}

export const isMember = (name: string) => Object.hasOwn(MEMBERS, name)

export const isCredential = (name: string) => CREDENTIALS.some((credential) => credential === name)

/** For rows with passwords or hashes. Ignoring them silently would create users that cannot log in. */
export const credentialsRefused = () =>
  new Problem('import_credentials', 'Export without include, or omit password, password_hash and totp_secret.')

/** Whether the text may contain such a number. Most texts do not, and need no closer check. */
const UNUSUAL = /\d[eE][+-]?\d{3}|\d{400}/

/**
 * Maximum length of a number. A double needs at most 344 characters, an exact number of an export as many as it has
 * digits.
 */
const MAX_NUMBER_LENGTH = 1_000

/**
 * Whether PostgreSQL writes every number of a JSON text in few characters: `1e-9999` takes ten thousand. The check
 * counts the written digits, so that an import accepts every number that it once accepted.
 */
function numbersFit(text: string): boolean {
  if (!UNUSUAL.test(text)) return true
  let fit = true
  const look = (_name: string, value: unknown, { source = '' }: { source?: string } = {}) => {
    if (typeof value === 'number' && numberBytes(source) > MAX_NUMBER_LENGTH) fit = false
    return value
  }
  JSON.parse(text, look as (name: string, value: unknown) => unknown)
  return fit
}

/** A valid row. */
export interface Row {
  /** Number of the row in the body, from 1. */
  n: number
  text: string
  id: string | undefined
  username: string
  email: string
}

/** A row that is invalid regardless of the pool's content. */
export interface RowFault {
  n: number
  code: 'invalid_row' | 'unknown_member' | 'not_test_user' | 'domain_not_reserved' | 'user_too_large'
  /** Empty if the fault does not concern one member. */
  member: string
  message: string
  /** Empty if it must not be stored or returned. */
  username: string
  email: string
}

/**
 * Validates a row on its own, so that no row can fail the statement that writes a page of rows. Throws
 * `import_credentials` if the row contains a credential.
 */
export function checkRow(n: number, { text, value }: GivenRow, reservedDomains: string[]): Row | RowFault {
  if (!isObject(value)) return { n, ...notAnObject, username: '', email: '' }
  const fault = faultOf(value, text, reservedDomains)
  if (fault) return { n, ...fault, username: shown(value, 'username'), email: shown(value, 'email') }
  const { id, username, email = username } = value as { id?: string; username: string; email?: string }
  return { n, text, id: id?.toLowerCase(), username, email }
}

export const isFault = (row: Row | RowFault): row is RowFault => 'code' in row

type Fault = Pick<RowFault, 'code' | 'member' | 'message'>

const invalid = (member: string, message: string): Fault => ({ code: 'invalid_row', member, message })
const notAnObject = invalid('', 'is not an object with a user’s members, or does not have one cell for each column')

function faultOf(members: Record<string, unknown>, text: string, reservedDomains: string[]): Fault | undefined {
  const names = Object.keys(members)
  if (names.some(isCredential)) throw credentialsRefused()
  const unknown = names.find((name) => !isMember(name))
  if (unknown !== undefined) {
    return {
      code: 'unknown_member',
      member: isStorable(unknown) ? unknown.slice(0, 64) : '',
      message: 'is unknown',
    }
  }
  for (const [name, value] of Object.entries(members)) {
    if (!MEMBERS[name]?.is(value)) return invalid(name, `must be ${MEMBERS[name]?.expects}`)
  }
  if (members['username'] === undefined) return invalid('username', 'is missing')
  if (!isStorable(members)) return invalid('', 'has a text or a number that cannot be stored, or is nested too deeply')
  if (!numbersFit(text)) return invalid('', 'has a number that is too long')
  const email = String(members['email'] ?? members['username'])
  if (!EMAIL_FORM.test(email)) return invalid('email', 'is missing, and the username is not an email address')
  if (members['is_test_user'] === false) {
    return { code: 'not_test_user', member: 'is_test_user', message: 'must be true: only test users are imported' }
  }
  if (!isReserved(email, reservedDomains)) {
    return { code: 'domain_not_reserved', member: 'email', message: 'must be in a reserved domain' }
  }
  if (mayBeTooLarge(text) && rowLineBytes(members, text, email) > MAX_LINE_BYTES) {
    return { code: 'user_too_large', member: 'custom_attributes', message: TOO_LARGE }
  }
  return undefined
}

/**
 * Whether the row may be too large and needs the exact check. A character becomes at most 4 bytes of the line, or 200
 * if a number has an exponent: `1e-998` takes 1,000.
 */
const mayBeTooLarge = (text: string) => text.length > (/\d[eE]/.test(text) ? 5_000 : 200_000)

const ANY_ID = '00000000-0000-7000-8000-000000000000'

/** Size of the user line of a new user for this row, with the defaults of the import for omitted members. */
function rowLineBytes(members: Record<string, unknown>, text: string, email: string): number {
  const defaults = { role: 'user', batch_id: ANY_ID, created_by_bulk: false }
  const given = { ...defaults, ...members, email } as Parameters<typeof lineBytes>[0]
  return lineBytes(given, memberBytes(text, 'custom_attributes') ?? '{}'.length)
}

function isStorable(value: unknown): boolean {
  try {
    requireStorable(value)
    return !holdsNul(value)
  } catch {
    return false
  }
}

/** Returns a member of a rejected row for its failure. Empty if it is not a name that can be stored. */
function shown(members: Record<string, unknown>, name: 'username' | 'email'): string {
  const value = members[name]
  return MEMBERS[name]?.is(value) && isStorable(value) ? (value as string) : ''
}
