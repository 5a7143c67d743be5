import { Type } from 'typebox'
import type { FieldError } from '../../../errors.ts'
import type { Refusal, SinkUser } from '../kind.ts'
import { type CompiledValue, compileValue, InvalidValue } from '../values.ts'

/** The attributes of a user, by name. Those of an extension are in an object with the URI of its schema as name. */
export type ScimMapping = Record<string, unknown>

/** A User resource (RFC 7643, section 4.1). */
export interface ScimUser {
  schemas: string[]
  /** The id of our user: it marks the resource as ours. */
  externalId: string
  [attribute: string]: unknown
}

export const ScimMappingSchema = Type.Object(
  { userName: Type.Unknown() },
  { additionalProperties: true, maxProperties: 100, description: 'The attributes of each user, as in RFC 7643' },
)

/** Many servers require a given and a family name. */
export const PRESETS: Record<string, ScimMapping> = {
  user: {
    userName: '{username}',
    name: { givenName: 'Test', familyName: '{username}', formatted: 'Test {username}' },
    displayName: '{username}',
    emails: [{ value: '{email}', type: 'work', primary: true }],
    active: true,
    roles: [{ value: '{role}' }],
  },
}

const USER_SCHEMA = 'urn:ietf:params:scim:schemas:core:2.0:User'

/** Attributes that are ours or the server's. */
const RESERVED = ['schemas', 'externalId', 'id', 'meta']

type Attributes = [name: string, value: CompiledValue][]

const compiled = new WeakMap<ScimMapping, Attributes>()

/** Compiles a mapping once. Throws InvalidValue, which `attributeFaults` prevents. */
function compileAttributes(mapping: ScimMapping): Attributes {
  const known = compiled.get(mapping)
  if (known) return known
  const attributes: Attributes = Object.entries(mapping).map(([name, value]) => [name, compileValue(value)])
  compiled.set(mapping, attributes)
  return attributes
}

/** Returns the resource that a user becomes, or why it cannot be sent. Attributes without a value are left out. */
export function renderUser(
  mapping: ScimMapping,
  user: SinkUser,
  withSecrets: boolean,
): { rendered: ScimUser } | { refusal: Refusal } {
  const extensions = Object.keys(mapping).filter((name) => name.startsWith('urn:'))
  const rendered: ScimUser = { schemas: [USER_SCHEMA, ...extensions], externalId: user.id }
  for (const [name, { json, text }] of compileAttributes(mapping)) {
    const secret = json ? null : text(user, withSecrets)
    if (secret !== null && typeof secret === 'object') return { refusal: secret }
    const value = json ? withoutNulls(json(user)) : secret
    if (value !== undefined) rendered[name] = value
  }
  if (rendered['userName'] !== undefined && rendered['userName'] !== '') return { rendered }
  return { refusal: { code: 'value_missing', detail: 'The attribute userName has no value for this user.' } }
}

/**
 * Leaves out what has no value: null is the same as no value (RFC 7643, section 2.5), but not all servers take it. Of a list, entries
 * without their `value` are left out.
 */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) {
    const entries = value.filter((entry) => entry?.value !== null).map(withoutNulls)
    const left = entries.filter((entry) => entry !== undefined)
    return left.length > 0 ? left : undefined
  }
  if (typeof value !== 'object' || value === null) return value ?? undefined
  const members = Object.entries(value).map(([name, member]) => [name, withoutNulls(member)] as const)
  const left = members.filter(([, member]) => member !== undefined)
  return left.length > 0 ? Object.fromEntries(left) : undefined
}

/** Returns what is wrong with the attributes of a mapping. */
export function attributeFaults(mapping: ScimMapping): FieldError[] {
  return Object.entries(mapping).flatMap(([name, value]) => {
    const message = attributeFault(name, value)
    return message === undefined ? [] : [{ path: `body.mapping.${name}`, code: 'invalid', message }]
  })
}

function attributeFault(name: string, value: unknown): string | undefined {
  if (RESERVED.includes(name)) return 'is set by usersync or the server'
  try {
    const { varies, isSecret, returned } = compileValue(value)
    if (returned !== undefined) return 'has $returned, which is for tables'
    if (isSecret && (value as { $member?: unknown }).$member !== 'password')
      return 'is a hash, but SCIM takes plain passwords'
    if (name === 'userName' && isSecret) return 'is a secret, which cannot be a name'
    if (name === 'userName' && !varies) return 'is the same for all users'
    return undefined
  } catch (error) {
    if (error instanceof InvalidValue) return error.message
    throw error
  }
}
