import { HASH_FORMS, type HashFormName, writeHash } from '../../systems/hash-forms.ts'
import type { Kind, Refusal, SinkUser, UserMember } from './kind.ts'

/* Values of a mapping: constants, templates such as `{username}`, members as they are, and what an earlier table returned. */

/** Members that a template can name. */
const MEMBERS = ['id', 'username', 'email', 'role', 'batch_id', 'created_at', 'updated_at'] as const

/** Returns the members that a mapping may name. Finds each of them, and sometimes one whose name is only part of a text. */
export function membersIn(mapping: unknown): UserMember[] {
  const text = JSON.stringify(mapping)
  return ([...MEMBERS, 'custom_attributes'] as const).filter((name) => text.includes(name))
}

/** Members that only `{"$member": …}` can name: they are hidden in dry runs. */
const SECRETS = ['password_hash', 'password'] as const

type Secret = (typeof SECRETS)[number]

type Member = (typeof MEMBERS)[number] | (typeof SECRETS)[number]

const ATTRIBUTE = /^custom_attributes\.(.+)$/s

/** What stands for a secret in a dry run. */
export const HIDDEN = '(hidden)'

type Fill = (user: SinkUser) => unknown

/** A compiled value. */
export interface CompiledValue {
  /** Returns the value as text, null if there is none, or a refusal. */
  text: (user: SinkUser, withSecrets: boolean) => string | null | Refusal
  /** Returns the value as JSON, with its type; null if there is none. Undefined for what is always a text, such as a secret. */
  json?: Fill
  /** Whether the value differs from user to user. */
  varies: boolean
  isSecret: boolean
  /** The table whose returned value this is. */
  returned?: string
}

/** Thrown for a value that cannot be compiled. The message continues the path of the value. */
export class InvalidValue extends Error {
  override name = 'InvalidValue'
}

/** Compiles a value of a mapping. Throws InvalidValue. */
export function compileValue(value: unknown): CompiledValue {
  if (typeof value === 'string') return compileTemplate(value)
  if (typeof value !== 'object' || value === null) {
    const text = value === null ? null : String(value)
    return { text: () => text, json: () => value, varies: false, isSecret: false }
  }
  const keys = Object.keys(value)
  if (keys.includes('$member')) return compileMember(value as Record<string, unknown>, keys)
  if (keys.includes('$returned')) return compileReturned(value as Record<string, unknown>, keys)
  const unknown = keys.find((key) => key.startsWith('$'))
  if (unknown !== undefined) throw new InvalidValue(`has the unknown member ${unknown}. Known: $member, $returned.`)
  return compileJson(value)
}

/** Returns the secrets that users have at a target of this kind, with this mapping. Others are not read for it. */
export const secretsOf = ({ secrets = [] }: Pick<Kind, 'secrets'>, mapping: unknown): Secret[] => [
  ...new Set([...secrets, ...secretsIn(mapping)]),
]

/** Returns the secrets that a mapping names. */
function secretsIn(mapping: unknown): Secret[] {
  if (typeof mapping !== 'object' || mapping === null) return []
  const { $member } = mapping as { $member?: unknown }
  return [...SECRETS.filter((name) => name === $member), ...Object.values(mapping).flatMap(secretsIn)]
}

function compileMember({ $member, prefix = '', form }: Record<string, unknown>, keys: string[]): CompiledValue {
  if (keys.some((key) => !['$member', 'prefix', 'form'].includes(key)) || typeof prefix !== 'string')
    throw new InvalidValue('expects {"$member": name}, with "prefix": text or "form": name if needed')
  if (form !== undefined && !(isFormName(form) && $member === 'password_hash'))
    throw new InvalidValue(`has an unknown form. Those of password_hash are: ${Object.keys(HASH_FORMS).join(', ')}.`)
  const names: readonly string[] = [...MEMBERS, ...SECRETS]
  if (typeof $member !== 'string' || !names.includes($member))
    throw new InvalidValue(`names an unknown member. Known: ${names.join(', ')}.`)
  const member = $member as Member
  const isSecret = (SECRETS as readonly string[]).includes(member)
  const missing: Refusal = {
    code: 'credential_missing',
    detail: `The user has no ${member}: the users of imports and of batches with the algorithm none have none.`,
  }
  const write = form === undefined ? undefined : rememberLast((hash) => writeHash(form, hash))
  return {
    text: (user, withSecrets) => {
      const value = user[member] ?? null
      if (value === null) return isSecret ? missing : null
      const written = write ? write(value) : value
      if (typeof written === 'object') return written
      return prefix + (isSecret && !withSecrets ? HIDDEN : written)
    },
    varies: true,
    isSecret,
  }
}

/** Keeps the last result: users of a batch often share a hash, and splitting it for each of 100,000 took 0.07 s. */
function rememberLast<Result>(task: (text: string) => Result): (text: string) => Result {
  let last: { text: string; result: Result } | undefined
  return (text) => {
    if (last?.text !== text) last = { text, result: task(text) }
    return last.result
  }
}

const isFormName = (form: unknown): form is HashFormName => typeof form === 'string' && Object.hasOwn(HASH_FORMS, form)

function compileReturned({ $returned }: Record<string, unknown>, keys: string[]): CompiledValue {
  if (typeof $returned !== 'string' || keys.length > 1)
    throw new InvalidValue('expects {"$returned": table}, a table above that has returning')
  return { text: () => null, varies: true, isSecret: false, returned: $returned }
}

/** Splits a template at its names. `{{` and `}}` write braces. */
function compileTemplate(template: string): CompiledValue & { json: Fill } {
  const parts: (string | { name: string })[] = []
  for (const [, name, literal] of template.matchAll(/\{([^{}]+)\}|((?:\{\{|\}\}|[^{}])+)|./gs)) {
    if (name !== undefined) parts.push({ name: checkName(name) })
    else if (literal !== undefined) parts.push(literal.replaceAll('{{', '{').replaceAll('}}', '}'))
    else throw new InvalidValue('has a brace without its partner. Write {{ or }} for a brace itself.')
  }
  const [only] = parts
  if (parts.length === 1 && typeof only === 'object') {
    const json = memberOf(only.name)
    return { text: (user) => textOf(json(user)), json, varies: true, isSecret: false }
  }
  const values = parts.map((part) => (typeof part === 'string' ? () => part : memberOf(part.name)))
  const fill = (user: SinkUser) => values.map((value) => textOf(value(user)) ?? '').join('')
  const varies = parts.some((part) => typeof part === 'object')
  const constant = varies ? undefined : parts.join('')
  const text = (user: SinkUser) => constant ?? fill(user)
  return { text, json: text, varies, isSecret: false }
}

function checkName(name: string): string {
  if ((MEMBERS as readonly string[]).includes(name) || ATTRIBUTE.test(name)) return name
  const known = [...MEMBERS, 'custom_attributes.name'].map((member) => `{${member}}`).join(', ')
  const hint = (SECRETS as readonly string[]).includes(name) ? ` Write {"$member": "${name}"} for a secret.` : ''
  throw new InvalidValue(`has the unknown placeholder {${name.slice(0, 60)}}.${hint} Known: ${known}.`)
}

/** Returns the value of a member of a user, null if it has none. */
function memberOf(name: string): Fill {
  const [, attribute] = ATTRIBUTE.exec(name) ?? []
  if (attribute === undefined) return (user) => user[name as (typeof MEMBERS)[number]]
  return ({ custom_attributes: attributes }) =>
    Object.hasOwn(attributes, attribute) ? (attributes[attribute] ?? null) : null
}

function textOf(value: unknown): string | null {
  if (value === null || typeof value === 'string') return value
  return JSON.stringify(value)
}

/** JSON with templates in its texts. */
function compileJson(value: object): CompiledValue {
  const fill = compilePart(value)
  return { text: (user) => JSON.stringify(fill(user)), json: fill, varies: true, isSecret: false }
}

function compilePart(part: unknown): Fill {
  if (typeof part === 'string') return compileTemplate(part).json
  if (typeof part !== 'object' || part === null) return () => part
  const special = Object.keys(part).find((name) => name.startsWith('$'))
  if (special !== undefined) throw new InvalidValue(`has ${special} within JSON. It stands for a whole value only.`)
  const members = Object.entries(part).map(([name, member]) => [name, compilePart(member)] as const)
  if (Array.isArray(part)) return (user) => members.map(([, fill]) => fill(user))
  return (user) => Object.fromEntries(members.map(([name, fill]) => [name, fill(user)]))
}
