import { Problem } from '../errors.ts'
import { UUID_FORM } from '../http/uuid-form.ts'
import { NAME_EXPECTED, NAME_FORM } from '../users/name-form.ts'
import { EMAIL_EXPECTED, EMAIL_FORM } from '../users/reserved-domain.ts'
import { isTime } from './time.ts'

interface Member {
  expects: string
  is: (value: unknown) => boolean
  /** Whether the value is text as it stands; else JSON of its own. */
  isText: boolean
}

const isId = (value: unknown) => typeof value === 'string' && UUID_FORM.test(value)
const isBoolean = (value: unknown) => typeof value === 'boolean'

/** Whether it is what JSON calls an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text of 1 to `longest` characters as PostgreSQL counts them, without a blank at its beginning or end. */
const isNameUpTo = (longest: number) => (value: unknown) =>
  typeof value === 'string' &&
  value !== '' &&
  NAME_FORM.test(value) &&
  (value.length <= longest || [...value].length <= longest)
const isName = isNameUpTo(254)

const id: Member = { expects: 'a UUID', is: isId, isText: true }
const flag: Member = { expects: 'true or false', is: isBoolean, isText: false }
const time: Member = { expects: 'an RFC 3339 time of the years 0001 to 9999', is: isTime, isText: true }

/** The members of a user that an import takes: those of the export. */
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

export const isCredential = (name: string) => name === 'password' || name === 'password_hash'

/** For rows that hold passwords or hashes: to leave them out in silence would make users who cannot log in. */
export const credentialsRefused = () =>
  new Problem('import_credentials', 'Export without include, or leave password and password_hash out.')
