import { PeerError, type PeerFault } from '../../../client/peer.ts'
import type { Refusal } from '../kind.ts'

/*
 * Result codes of LDAP (RFC 4511, appendix A) in our own words. The server's diagnostic messages contain values of entries, and names
 * of others, so none of their text is kept.
 */

export const CODES = {
  sizeLimitExceeded: 4,
  adminLimitExceeded: 11,
  noSuchAttribute: 16,
  undefinedAttributeType: 17,
  inappropriateMatching: 18,
  noSuchObject: 32,
  invalidDNSyntax: 34,
  entryAlreadyExists: 68,
  assertionFailed: 122,
} as const

/** Thrown for a result that is not success. */
export class ResultError extends Error {
  override name = 'ResultError'
  readonly code: number
  /** The attribute of the request that the server names as the reason, if it does. */
  readonly attribute: string | undefined

  constructor(code: number, attribute?: string) {
    super(`result code ${code}`)
    this.code = code
    this.attribute = attribute
  }
}

/** Why a directory refuses one entry, whatever becomes of others. */
const REFUSALS: Record<number, [code: Refusal['code'], words: string]> = {
  16: ['refused', 'The entry has an attribute no more that the directory must remove'],
  19: ['refused', 'A value violates a constraint of the directory'],
  20: ['refused', 'An attribute has a value twice, as the directory compares it'],
  21: ['refused', 'A value does not have the form of its attribute'],
  34: ['refused', 'The name of the entry does not have the form of a name'],
  64: ['refused', 'The name of the entry violates a rule of the directory'],
  65: [
    'refused',
    'The entry violates the schema: its object classes require an attribute that has no value, or allow one not that has',
  ],
  66: ['still_referenced', 'The directory has entries below the entry'],
  67: ['refused', 'The change is not allowed for the attribute in the name of the entry'],
  68: [
    'exists_already',
    'The directory has an entry with this name, without this id. It is not ours and stays as it is. Names ignore case in most directories',
  ],
  69: ['refused', 'The object class of the entry cannot change'],
}

/** Returns why the directory refuses an entry, or undefined if the error is not about a single entry. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof ResultError)) return undefined
  const [code, words] = REFUSALS[error.code] ?? []
  return code === undefined ? undefined : { code, detail: `${words} (LDAP result ${error.code})${placeOf(error)}.` }
}

/** What is wrong with a target as a whole. */
const FAULTS: Record<number, [fault: PeerFault, words: string]> = {
  2: ['not_understood', 'The server does not understand the request'],
  3: ['busy', 'The directory takes longer than its time limit'],
  4: ['refused', 'The directory returns fewer entries than a search for one id finds'],
  7: ['unauthorized', 'The directory does not accept passwords'],
  8: ['unauthorized', 'The directory requires an encrypted connection: use ldaps://'],
  10: ['refused', 'The server has a copy of the directory that takes no changes. Use the url of the one that does'],
  11: ['refused', 'A search exceeds a limit of the directory. Index the attribute of the mapping that has {id}'],
  12: ['refused', 'The directory rejects the assertion control that it lists as supported'],
  13: ['unauthorized', 'The directory requires an encrypted connection: use ldaps://'],
  17: ['refused', 'The schema of the directory does not know an attribute of the mapping'],
  32: [
    'refused',
    'mapping.base: the directory has no such entry, or bind_dn must not see it. Create the entry, or write the name of one that exists, such as ou=people,dc=example,dc=org',
  ],
  34: ['refused', 'mapping.base: the directory does not accept it as a name'],
  48: ['unauthorized', 'bind_dn has no password in the directory'],
  49: ['unauthorized', 'The directory rejects bind_dn or the password'],
  50: ['unauthorized', 'bind_dn lacks the right to write an entry or attribute'],
  51: ['busy', 'The directory is busy'],
  52: ['busy', 'The directory is not available'],
  53: ['refused', 'The directory is read-only, or does not allow this to anyone'],
}

/** Converts what a request to a directory threw. */
export function faultOf(error: unknown): PeerError {
  if (error instanceof PeerError) return error
  if (!(error instanceof ResultError)) throw error
  const [fault = 'server_error', words = 'The directory failed'] = FAULTS[error.code] ?? []
  return new PeerError(fault, `${words} (LDAP result ${error.code})${placeOf(error)}.`)
}

const placeOf = ({ attribute }: ResultError) => (attribute === undefined ? '' : `: attribute ${attribute}`)
