import { type Static, type TSchema, Type } from 'typebox'
import { withoutBrackets } from '../../config/url.ts'
import { type FieldError, Problem } from '../../errors.ts'
import { schemaReader } from '../../http/field-errors.ts'
import { strict } from '../../http/schemas.ts'

/*
 * A canary logs some users in for real after a run, twice each. It finds what no count of rows shows: a hash that the system does not
 * take, or takes and hashes again at the first login, which then distorts a load test.
 */

const users = Type.Optional(Type.Integer({ minimum: 1, maximum: 10, description: 'How many users log in. Default 3' }))
const url = Type.String({ maxLength: 2_000, pattern: '^https?://', description: 'an http or https URL' })
const texts = Type.Record(Type.String({ maxLength: 200 }), Type.String({ maxLength: 1_000 }), { maxProperties: 50 })

/** Texts of `fields` and `body` may contain `{username}`, `{email}` and `{password}`. */
const SCHEMAS = {
  /** A page with a form, which is sent with its hidden fields and cookies, as a browser does. */
  form: strict({ kind: Type.Literal('form'), url, fields: Type.Optional(texts), users }),
  /** A JSON request that answers 2xx. */
  json: strict({
    kind: Type.Literal('json'),
    url,
    body: Type.Optional(Type.Object({}, { additionalProperties: true })),
    users,
  }),
  /** A token endpoint that takes the password grant (RFC 6749, section 4.3) of a public client. */
  oidc_password: strict({
    kind: Type.Literal('oidc_password'),
    url,
    client_id: Type.String({ minLength: 1, maxLength: 200 }),
    scope: Type.Optional(Type.String({ maxLength: 1_000 })),
    users,
  }),
  /** A bind at the directory of an `ldap`. */
  ldap_bind: strict({ kind: Type.Literal('ldap_bind'), users }),
  /** No login: compares the hashes in the tables of a `postgres` with ours. */
  sql_hash: strict({ kind: Type.Literal('sql_hash'), users }),
} satisfies Record<string, TSchema>

export type CanaryKind = keyof typeof SCHEMAS
export type Canary = { [Kind in CanaryKind]: Static<(typeof SCHEMAS)[Kind]> }[CanaryKind]

/** The kind of target that a canary needs, if it is not a request to a URL of its own. */
const ONLY_FOR: Partial<Record<CanaryKind, string>> = { ldap_bind: 'ldap', sql_hash: 'postgres' }

const DEFAULT_USERS = 3

export const usersOf = ({ users = DEFAULT_USERS }: Canary): number => users

/** Returns the canary of a request, and adds its faults. `isAllowed` says whether the service may connect to a host. */
export function readCanary(
  given: object,
  targetKind: string,
  isAllowed: (host: string) => boolean,
  faults: FieldError[],
): Canary | undefined {
  const { kind } = given as { kind?: unknown }
  if (typeof kind !== 'string' || !Object.hasOwn(SCHEMAS, kind)) {
    const message = `must be one of: ${Object.keys(SCHEMAS).join(', ')}`
    faults.push({ path: 'body.canary.kind', code: 'enum', message })
    return undefined
  }
  const canaryKind = kind as CanaryKind
  const needed = ONLY_FOR[canaryKind]
  if (needed !== undefined && needed !== targetKind) {
    faults.push({ path: 'body.canary.kind', code: 'invalid', message: `is for targets of kind ${needed} only` })
    return undefined
  }
  try {
    const canary = schemaReader(SCHEMAS[canaryKind], 'body.canary')(given) as Canary
    if ('url' in canary && !isAllowedUrl(canary.url, isAllowed)) {
      const message = 'names a host that is neither loopback nor listed in the setting TARGET_HOSTS'
      faults.push({ path: 'body.canary.url', code: 'host_not_allowed', message })
    }
    const unknown = placeholdersIn('body' in canary ? canary.body : 'fields' in canary ? canary.fields : {})
    if (unknown !== undefined) {
      const message = `has the unknown placeholder ${unknown.slice(0, 60)}. Known: {username}, {email}, {password}.`
      faults.push({ path: 'body' in canary ? 'body.canary.body' : 'body.canary.fields', code: 'invalid', message })
    }
    return canary
  } catch (error) {
    if (!(error instanceof Problem) || !error.errors) throw error
    faults.push(...error.errors)
    return undefined
  }
}

/** Returns the first placeholder of a text, or of the texts in JSON, that is not known. */
function placeholdersIn(value: unknown): string | undefined {
  if (typeof value === 'string') return /\{(?!(?:username|email|password)\})[^{}]*\}/.exec(value)?.[0]
  if (typeof value !== 'object' || value === null) return undefined
  return Object.values(value)
    .map(placeholdersIn)
    .find((found) => found !== undefined)
}

/** Whether the service may connect to the host of a URL. A URL with a user or password would show it. */
export function isAllowedUrl(text: string, isAllowed: (host: string) => boolean): boolean {
  const parsed = URL.parse(text)
  return parsed !== null && !parsed.username && !parsed.password && isAllowed(withoutBrackets(parsed.hostname))
}
