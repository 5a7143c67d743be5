import { base64, type PasswordHash } from './password-hash.ts'
import { jsonBetween, namesOf, renderer, type SystemFormat, type SystemUser, tooLong } from './system-format.ts'

/** A user of FusionAuth's import. It keeps our id. */
export interface FusionAuthUser extends FusionAuthPassword {
  id: string
  email: string
  username?: string
  firstName?: string
  lastName?: string
  /** False by default, and then the user cannot log in. */
  active: true
  verified: true
  /** Milliseconds since 1970. */
  insertInstant: number
  data: Record<string, unknown>
}

interface FusionAuthPassword {
  encryptionScheme: 'bcrypt' | 'salted-pbkdf2-hmac-sha256'
  factor: number
  salt: string
  password: string
}

/**
 * The body of `POST /api/user/import`. FusionAuth advises against two imports at a time. With `validateDbConstraints`, a user that
 * exists is a readable 400 instead of a 500. Sources: fusionauth-site apis/_import-users-request-body.mdx @092407f,
 * reference/password-hashes.mdx @0f7f5fe.
 */
export const fusionauth: SystemFormat<FusionAuthUser> = {
  ...jsonBetween('{"validateDbConstraints":true,"users":[\n', '\n]}\n'),
  hasPasswords: true,
  part: { users: 100_000, bytes: Number.POSITIVE_INFINITY },
  render: renderer({
    name: 'FusionAuth',
    preset: 'fusionauth',
    takes: 'pbkdf2_sha256 and bcrypt',
    password: passwordOf,
    fault: ({ username, email }) => tooLong('username', username, 191) ?? tooLong('email', email, 191),
    object: userOf,
  }),
}

/** bcrypt is split into its own base64 texts; salt and hash of pbkdf2 are ordinary base64. */
function passwordOf(hash: PasswordHash): FusionAuthPassword | undefined {
  if (hash.algorithm === 'bcrypt')
    return { encryptionScheme: 'bcrypt', factor: hash.cost, salt: hash.salt, password: hash.hash }
  if (hash.algorithm === 'pbkdf2_sha256') {
    const [salt, password] = [base64(hash.salt), base64(hash.hash)]
    return { encryptionScheme: 'salted-pbkdf2-hmac-sha256', factor: hash.iterations, salt, password }
  }
  return undefined
}

function userOf(user: SystemUser, password: FusionAuthPassword): FusionAuthUser {
  const { id, username, email, role, custom_attributes, created_at } = user
  const { first, last } = namesOf(user)
  return {
    id,
    email,
    ...(username !== email && { username }),
    ...(first !== undefined && { firstName: first }),
    ...(last !== undefined && { lastName: last }),
    active: true,
    verified: true,
    insertInstant: Date.parse(created_at),
    data: { ...custom_attributes, role },
    ...password,
  }
}
