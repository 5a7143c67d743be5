import { Type } from 'typebox'
import type { FieldError } from '../../../errors.ts'
import { strict } from '../../../http/schemas.ts'
import { writeRdn } from '../../../systems/distinguished-names.ts'
import { parseHash } from '../../../systems/password-hash.ts'
import { userPassword } from '../../../systems/user-password.ts'
import type { Refusal, SinkUser } from '../kind.ts'
import { type CompiledValue, compileValue, HIDDEN, InvalidValue } from '../values.ts'

/** What a user becomes: an entry below `base`. */
export interface EntryMapping {
  /** The name that the sink logs in with. */
  bind_dn: string
  base: string
  /** The attribute in the name of the entry. */
  rdn: string
  /** Values by attribute: a value, or a list of them. */
  attributes: Record<string, unknown>
}

const Name = Type.String({ minLength: 1, maxLength: 1_000 })

export const EntryMappingSchema = strict(
  {
    bind_dn: Name,
    base: Name,
    rdn: Type.String({ minLength: 1, maxLength: 100 }),
    attributes: Type.Record(Type.String({ minLength: 1, maxLength: 100 }), Type.Unknown(), {
      minProperties: 1,
      maxProperties: 100,
    }),
  },
  { description: 'What each user becomes: an entry below `base`' },
)

/** The entry of one user. */
export interface RenderedEntry {
  dn: string
  /** `uid=ann`. */
  rdn: string
  /** Values by attribute. None: the entry does not have the attribute. */
  attributes: Record<string, string[]>
}

/** The values of an attribute, or why the user has no entry. */
type Fill = (user: SinkUser, withSecrets: boolean) => string[] | Refusal

/** A mapping whose values are ready to be rendered. */
export interface CompiledEntry {
  fills: [attribute: string, fill: Fill][]
  /** The attribute in the name, as `attributes` spells it. */
  rdn: string
  /** The attribute that has the id, and by which entries are ours. */
  mark: string
}

/** The value of the attribute that marks our entries. */
const MARK = '{id}'

const compiled = new WeakMap<EntryMapping, CompiledEntry>()

/** Compiles a mapping once. Throws InvalidValue, which `entryFaults` prevents. */
export function compileEntry(mapping: EntryMapping): CompiledEntry {
  const known = compiled.get(mapping)
  if (known) return known
  const fills = Object.entries(mapping.attributes).map(
    ([name, value]) => [name, compileAttribute(value)] as [string, Fill],
  )
  const entry = { fills, rdn: spelling(mapping, mapping.rdn) ?? mapping.rdn, mark: markOf(mapping) ?? '' }
  compiled.set(mapping, entry)
  return entry
}

/** Returns the entry that a user becomes, or why it cannot be written. */
export function renderEntry(
  mapping: EntryMapping,
  user: SinkUser,
  withSecrets: boolean,
): { rendered: RenderedEntry } | { refusal: Refusal } {
  const { fills, rdn: naming } = compileEntry(mapping)
  const attributes: RenderedEntry['attributes'] = {}
  for (const [name, fill] of fills) {
    const values = fill(user, withSecrets)
    if (!Array.isArray(values)) return { refusal: values }
    attributes[name] = [...new Set(values)].filter((value) => value !== '')
  }
  const [name, ...others] = attributes[naming] ?? []
  if (name === undefined || others.length > 0) {
    const detail = `The attribute ${naming}, which names the entry, needs exactly one value for this user.`
    return { refusal: { code: 'value_missing', detail } }
  }
  const rdn = writeRdn(naming, name)
  return { rendered: { dn: `${rdn},${mapping.base}`, rdn, attributes } }
}

function compileAttribute(value: unknown): Fill {
  if (!Array.isArray(value)) return compileSingle(value)
  if (value.some(Array.isArray)) throw new InvalidValue('has a list in a list')
  const fills = value.map(compileSingle)
  return (user, withSecrets) => {
    const parts = fills.map((fill) => fill(user, withSecrets))
    return parts.find((part) => !Array.isArray(part)) ?? (parts as string[][]).flat()
  }
}

const LIST = /^\{custom_attributes\.([^{}]+)\}$/s

function compileSingle(value: unknown): Fill {
  if (typeof value === 'boolean') return () => [value ? 'TRUE' : 'FALSE'] // RFC 4517, section 3.3.3
  const isMember = typeof value === 'object' && value !== null && '$member' in value
  if (typeof value === 'object' && value !== null && !isMember)
    throw new InvalidValue('expects text, a number, true, false, null, {"$member": name}, or a list of these')
  const { text } = compileValue(value)
  const { $member, prefix }: { $member?: unknown; prefix?: unknown } = isMember ? value : {}
  const isHash = $member === 'password_hash' && prefix === undefined
  const [, list] = (typeof value === 'string' && LIST.exec(value)) || []
  return (user, withSecrets) => {
    const values = list !== undefined && Object.hasOwn(user.custom_attributes, list) && user.custom_attributes[list]
    if (Array.isArray(values)) return values.map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))
    const filled = text(user, withSecrets)
    if (filled === null) return []
    if (typeof filled !== 'string') return filled
    return isHash ? passwordOf(user, withSecrets) : [filled]
  }
}

/** The password hash with the scheme of LDAP. */
function passwordOf({ password_hash: stored }: SinkUser, withSecrets: boolean): string[] | Refusal {
  const hash = parseHash(stored ?? '')
  const value = hash && userPassword(hash)
  if (value !== undefined) return [withSecrets ? value : HIDDEN]
  const detail =
    'OpenLDAP does not verify the hash of this user. It takes argon2id, bcrypt, scrypt, and pbkdf2_sha256 with salt_bytes 16: create the users with "password_hash": {"preset": "openldap"}.'
  return { code: 'hash_unsupported', detail }
}

/** The name of an attribute as the mapping spells it. Names ignore case. */
const spelling = ({ attributes }: EntryMapping, name: string) =>
  Object.keys(attributes).find((other) => other.toLowerCase() === name.toLowerCase())

/** The attribute that marks our entries: the first in alphabetical order whose value is exactly the id. */
export const markOf = ({ attributes }: EntryMapping) =>
  Object.keys(attributes)
    .toSorted()
    .find((name) => attributes[name] === MARK)

/** A name of an attribute: a word or an OID, and options (RFC 4512, section 2.5). */
const ATTRIBUTE = /^([a-z][a-z0-9-]*|\d+(\.\d+)+)(;[a-z0-9-]+)*$/i

/** Returns what is wrong with the attributes of a mapping. */
export function entryFaults(mapping: EntryMapping): FieldError[] {
  const faults: FieldError[] = []
  const add = (path: string, message: string) => faults.push({ path: `body.mapping.${path}`, code: 'invalid', message })
  const seen = new Set<string>()
  for (const [name, value] of Object.entries(mapping.attributes)) {
    const path = `attributes.${name}`
    if (!ATTRIBUTE.test(name)) add(path, 'is not the name of an attribute')
    if (seen.has(name.toLowerCase())) add(path, 'is given twice: names of attributes ignore case')
    seen.add(name.toLowerCase())
    try {
      compileAttribute(value)
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error
      add(path, error.message)
    }
  }
  const naming = spelling(mapping, mapping.rdn)
  if (naming === undefined) add('rdn', 'is not one of the attributes')
  else if (!varies(mapping.attributes[naming]))
    add('rdn', 'names an attribute whose value is no text that differs from user to user')
  const classes = mapping.attributes[spelling(mapping, 'objectClass') ?? '']
  if (classes === undefined) add('attributes.objectClass', 'is required')
  else if ([classes].flat().some(varies)) add('attributes.objectClass', 'must be the same for all users')
  if (markOf(mapping) === undefined)
    add(
      'attributes',
      `needs an attribute with the value ${MARK}, such as employeeNumber: it marks the entries that are ours`,
    )
  return faults
}

function varies(value: unknown): boolean {
  try {
    const { varies, isSecret }: CompiledValue = compileValue(value)
    return typeof value === 'string' && varies && !isSecret
  } catch (error) {
    if (error instanceof InvalidValue) return true // has a fault of its own
    throw error
  }
}
