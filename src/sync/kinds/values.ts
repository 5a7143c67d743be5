import type { Refusal, SinkUser } from './kind.ts'

/* Values of a mapping: constants, templates such as `{username}`, members as they are, and what an earlier table returned. */

/** Members that a template can name. */
const MEMBERS = ['id', 'username', 'email', 'role', 'batch_id', 'created_at', 'updated_at'] as const

/** Members that only `{"$member": …}` can name: they are hidden in dry runs. */
const SECRETS = ['password_hash'] as const

type Member = (typeof MEMBERS)[number] | (typeof SECRETS)[number]

const ATTRIBUTE = /^custom_attributes\.(.+)$/s

/** What stands for a secret in a dry run. */
export const HIDDEN = '(hidden)'

/** A compiled value. `text` returns the text for PostgreSQL, null for SQL's null, or a refusal. */
export interface CompiledValue {
  text: (user: SinkUser, withSecrets: boolean) => string | null | Refusal
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
    return { text: () => text, varies: false, isSecret: false }
  }
  const keys = Object.keys(value)
  if (keys.includes('$member')) return compileMember(value as Record<string, unknown>, keys)
  if (keys.includes('$returned')) return compileReturned(value as Record<string, unknown>, keys)
  const unknown = keys.find((key) => key.startsWith('$'))
  if (unknown !== undefined) throw new InvalidValue(`has the unknown member ${unknown}. Known: $member, $returned.`)
  return compileJson(value)
}

function compileMember({ $member, prefix = '' }: Record<string, unknown>, keys: string[]): CompiledValue {
  if (keys.some((key) => key !== '$member' && key !== 'prefix') || typeof prefix !== 'string')
    throw new InvalidValue('expects {"$member": name} or {"$member": name, "prefix": text}')
  const names: readonly string[] = [...MEMBERS, ...SECRETS]
  if (typeof $member !== 'string' || !names.includes($member))
    throw new InvalidValue(`names an unknown member. Known: ${names.join(', ')}.`)
  const member = $member as Member
  const isSecret = (SECRETS as readonly string[]).includes(member)
  const missing: Refusal = {
    code: 'credential_missing',
    detail: `The user has no ${member}: the users of imports and of batches with the algorithm none have none.`,
  }
  return {
    text: (user, withSecrets) => {
      const value = user[member]
      if (value === null && isSecret) return missing
      return value === null ? null : prefix + (isSecret && !withSecrets ? HIDDEN : value)
    },
    varies: true,
    isSecret,
  }
}

function compileReturned({ $returned }: Record<string, unknown>, keys: string[]): CompiledValue {
  if (typeof $returned !== 'string' || keys.length > 1)
    throw new InvalidValue('expects {"$returned": table}, a table above that has returning')
  return { text: () => null, varies: true, isSecret: false, returned: $returned }
}

/** Splits a template at its names. `{{` and `}}` write braces. */
function compileTemplate(template: string): CompiledValue {
  const parts: (string | { name: string })[] = []
  for (const [, name, literal] of template.matchAll(/\{([^{}]+)\}|((?:\{\{|\}\}|[^{}])+)|./gs)) {
    if (name !== undefined) parts.push({ name: checkName(name) })
    else if (literal !== undefined) parts.push(literal.replaceAll('{{', '{').replaceAll('}}', '}'))
    else throw new InvalidValue('has a brace without its partner. Write {{ or }} for a brace itself.')
  }
  const [only] = parts
  if (parts.length === 1 && typeof only === 'object')
    return { text: memberOf(only.name), varies: true, isSecret: false }
  const texts = parts.map((part) => (typeof part === 'string' ? () => part : memberOf(part.name)))
  const fill = (user: SinkUser) => texts.map((text) => text(user) ?? '').join('')
  const varies = parts.some((part) => typeof part === 'object')
  const constant = varies ? undefined : parts.join('')
  return { text: (user) => constant ?? fill(user), varies, isSecret: false }
}

function checkName(name: string): string {
  if ((MEMBERS as readonly string[]).includes(name) || ATTRIBUTE.test(name)) return name
  const known = [...MEMBERS, 'custom_attributes.name'].map((member) => `{${member}}`).join(', ')
  const hint = (SECRETS as readonly string[]).includes(name) ? ` Write {"$member": "${name}"} for a secret.` : ''
  throw new InvalidValue(`has the unknown placeholder {${name.slice(0, 60)}}.${hint} Known: ${known}.`)
}

/** The text of a member of a user, or null if it has no value. */
function memberOf(name: string): (user: SinkUser) => string | null {
  const [, attribute] = ATTRIBUTE.exec(name) ?? []
  if (attribute === undefined) return (user) => user[name as (typeof MEMBERS)[number]]
  return ({ custom_attributes: attributes }) => {
    const value = Object.hasOwn(attributes, attribute) ? attributes[attribute] : null
    if (value === null || value === undefined) return null
    return typeof value === 'string' ? value : JSON.stringify(value)
  }
}

type Fill = (user: SinkUser) => unknown

/** JSON with templates in its texts. */
function compileJson(value: object): CompiledValue {
  const fill = compilePart(value)
  return { text: (user) => JSON.stringify(fill(user)), varies: true, isSecret: false }
}

function compilePart(part: unknown): Fill {
  if (typeof part === 'string') {
    const { text } = compileTemplate(part)
    return (user) => text(user, false)
  }
  if (typeof part !== 'object' || part === null) return () => part
  const members = Object.entries(part).map(([name, member]) => [name, compilePart(member)] as const)
  if (Array.isArray(part)) return (user) => members.map(([, fill]) => fill(user))
  return (user) => Object.fromEntries(members.map(([name, fill]) => [name, fill(user)]))
}
