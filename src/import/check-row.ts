import { holdsNul } from '../http/holds-nul.ts'
import { requireStorable } from '../http/storable.ts'
import { LONGEST_LINE, lineBytes, memberBytes, TOO_LARGE } from '../users/longest-line.ts'
import { EMAIL_FORM, isReserved } from '../users/reserved-domain.ts'
import type { GivenRow } from './given-row.ts'
import { credentialsRefused, isCredential, isMember, isObject, MEMBERS } from './members.ts'
import { numbersFit } from './numbers.ts'

/** A row that can be written. */
export interface Row {
  /** Which row of the body, from 1. */
  n: number
  text: string
  id: string | undefined
  username: string
  email: string
}

/** A row that cannot be taken, whatever the pool holds. */
export interface RowFault {
  n: number
  code: 'invalid_row' | 'unknown_member' | 'not_test_user' | 'domain_not_reserved' | 'user_too_large'
  /** Empty where the fault is not of one member. */
  member: string
  message: string
  /** As far as they can be told and kept. */
  username: string
  email: string
}

/**
 * Judges a row by itself, so that no single one of them fails the statement that writes a page of them. Throws
 * `import_credentials` where it holds a password or its hash.
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
const notAnObject = invalid('', 'is no object of a user’s members, or has another number of cells than columns')

function faultOf(members: Record<string, unknown>, text: string, reservedDomains: string[]): Fault | undefined {
  const names = Object.keys(members)
  if (names.some(isCredential)) throw credentialsRefused()
  const unknown = names.find((name) => !isMember(name))
  if (unknown !== undefined) {
    return {
      code: 'unknown_member',
      member: isStorable(unknown) ? unknown.slice(0, 64) : '',
      message: 'is not known here',
    }
  }
  for (const [name, value] of Object.entries(members)) {
    if (!MEMBERS[name]?.is(value)) return invalid(name, `must be ${MEMBERS[name]?.expects}`)
  }
  if (members['username'] === undefined) return invalid('username', 'is missing')
  if (!isStorable(members))
    return invalid('', 'holds a text or a number that cannot be stored, or is nested too deeply')
  if (!numbersFit(text)) return invalid('', 'holds a number of more digits than are kept')
  const email = String(members['email'] ?? members['username'])
  if (!EMAIL_FORM.test(email)) return invalid('email', 'is missing, and the username is no address')
  if (members['is_test_user'] === false) {
    return { code: 'not_test_user', member: 'is_test_user', message: 'must be true: only test users are imported' }
  }
  if (!isReserved(email, reservedDomains)) {
    return { code: 'domain_not_reserved', member: 'email', message: 'must be of a reserved domain' }
  }
  if (mayBeTooLarge(text) && rowLineBytes(members, text, email) > LONGEST_LINE) {
    return { code: 'user_too_large', member: 'custom_attributes', message: TOO_LARGE }
  }
  return undefined
}

/**
 * Whether the row needs a closer look. A character becomes at most 4 bytes of the line, and 200 where a number has an exponent:
 * `1e-998` takes 1,000.
 */
const mayBeTooLarge = (text: string) => text.length > (/\d[eE]/.test(text) ? 5_000 : 200_000)

const ANY_ID = '00000000-0000-7000-8000-000000000000'

/** Bytes of the line of a new user of this row; what the row leaves out is as the import fills it in. */
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

/** A member of a row that is refused, as its failure tells it: empty where it is no name that could be kept. */
function shown(members: Record<string, unknown>, name: 'username' | 'email'): string {
  const value = members[name]
  return MEMBERS[name]?.is(value) && isStorable(value) ? (value as string) : ''
}
