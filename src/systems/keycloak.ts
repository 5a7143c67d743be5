import { base64, type PasswordHash } from './password-hash.ts'
import { jsonBetween, namesOf, renderer, type SystemFormat, type SystemUser, tooLong } from './system-format.ts'

/** Keycloak's UserRepresentation. Keycloak sets its own id, so `attributes.usersync_id` has ours. */
export interface KeycloakUser {
  username: string
  email: string
  emailVerified: boolean
  enabled: boolean
  firstName: string
  lastName: string
  attributes: Record<string, string[]>
  requiredActions: string[]
  credentials: KeycloakCredential[]
}

/** `secretData` and `credentialData` are JSON texts. */
interface KeycloakCredential {
  type: 'password'
  secretData: string
  credentialData: string
}

/**
 * The body of `POST /admin/realms/{realm}/partialImport`. Keycloak imports it in one transaction, so parts are small. SKIP makes a
 * repeated import harmless. Sources: keycloak/keycloak Argon2Parameters.java @5ffdbd9, PasswordCredentialProvider.java @01a9d6b.
 */
export const keycloak: SystemFormat<KeycloakUser> = {
  ...jsonBetween('{"ifResourceExists":"SKIP","users":[\n', '\n]}\n'),
  hasPasswords: true,
  part: { users: 500, bytes: 8_000_000 },
  render: renderer({
    name: 'Keycloak',
    preset: 'keycloak',
    takes: 'argon2id and pbkdf2_sha256',
    password: credentialOf,
    fault: ({ username, email }) => tooLong('username', username, 255) ?? tooLong('email', email, 255),
    object: userOf,
  }),
}

/**
 * Keycloak compares hashes as base64 texts, so their padding decides. The lists of one text are Keycloak's MultivaluedHashMap. Version
 * 19 of argon2 is `1.3` there.
 */
function credentialOf(hash: PasswordHash): KeycloakCredential | undefined {
  if (hash.algorithm === 'argon2id') {
    const { iterations, memory_kib, parallelism } = hash
    return credential(base64(hash.hash), base64(hash.salt), iterations, 'argon2', {
      hashLength: [String(hash.hash.length)],
      memory: [String(memory_kib)],
      type: ['id'],
      version: ['1.3'],
      parallelism: [String(parallelism)],
    })
  }
  if (hash.algorithm === 'pbkdf2_sha256')
    return credential(base64(hash.hash), base64(hash.salt), hash.iterations, 'pbkdf2-sha256', {})
  return undefined
}

const credential = (
  value: string,
  salt: string,
  hashIterations: number,
  algorithm: string,
  additionalParameters: Record<string, string[]>,
): KeycloakCredential => ({
  type: 'password',
  secretData: JSON.stringify({ value, salt, additionalParameters: {} }),
  credentialData: JSON.stringify({ hashIterations, algorithm, additionalParameters }),
})

/** Keycloak would write attributes with these names over the members. */
const MEMBERS = ['username', 'email', 'firstName', 'lastName']

/** Without both names, Keycloak refuses the first login until the user has completed its profile. */
function userOf(user: SystemUser, password: KeycloakCredential): KeycloakUser {
  const { id, username, email, role, custom_attributes } = user
  const { first = username, last = username } = namesOf(user)
  const own = Object.entries(custom_attributes).filter(([name]) => !MEMBERS.includes(name))
  const attributes = [...own, ['usersync_id', id], ['role', role]] as const
  return {
    username,
    email,
    emailVerified: true,
    enabled: true,
    firstName: first,
    lastName: last,
    attributes: Object.fromEntries(attributes.map(([name, value]) => [name, textsOf(value)])),
    requiredActions: [],
    credentials: [password],
  }
}

/** An attribute is a list of texts. Null is an attribute without a value. */
const textsOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value])
    .filter((item) => item !== null)
    .map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))
