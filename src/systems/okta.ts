import { base64, type PasswordHash } from './password-hash.ts'
import { jsonLines, NO_LIMIT, namesOf, renderer, type SystemFormat, type SystemUser, tooLong } from './system-format.ts'

/** The body of `POST /api/v1/users?activate=true`. Okta sets its own id. */
export interface OktaUser {
  profile: { login: string; email: string; firstName: string; lastName: string }
  credentials: { password: { hash: OktaHash } }
}

type OktaHash =
  | { algorithm: 'BCRYPT'; workFactor: number; salt: string; value: string }
  | {
      algorithm: 'PBKDF2'
      digestAlgorithm: 'SHA256_HMAC'
      iterationCount: number
      keySize: number
      salt: string
      value: string
    }

/**
 * A request for each user, a line each: Okta has no bulk import with passwords. Custom attributes stay out, since a profile takes only
 * members of its schema. Source: okta/okta-sdk-golang model_password_credential_hash.go @149d9a9.
 */
export const okta: SystemFormat<OktaUser> = {
  ...jsonLines,
  hasPasswords: true,
  part: NO_LIMIT,
  render: renderer({
    name: 'Okta',
    preset: 'okta',
    takes: 'bcrypt, and pbkdf2_sha256 with at least 4096 iterations',
    password: hashOf,
    fault: ({ username, email }) => tooLong('username', username, 100) ?? tooLong('email', email, 100),
    object: userOf,
  }),
}

function hashOf(hash: PasswordHash): OktaHash | undefined {
  if (hash.algorithm === 'bcrypt')
    return { algorithm: 'BCRYPT', workFactor: hash.cost, salt: hash.salt, value: hash.hash }
  if (hash.algorithm !== 'pbkdf2_sha256' || hash.iterations < 4_096) return undefined
  return {
    algorithm: 'PBKDF2',
    digestAlgorithm: 'SHA256_HMAC',
    iterationCount: hash.iterations,
    keySize: hash.hash.length,
    salt: base64(hash.salt),
    value: base64(hash.hash),
  }
}

/** By default, Okta requires logins that have the form of an address, and both names, of at most 50 characters. */
function userOf(user: SystemUser, hash: OktaHash): OktaUser {
  const { username, email } = user
  const { first = username, last = username } = namesOf(user)
  const names = { firstName: cut(first), lastName: cut(last) }
  const login = username.includes('@') ? username : email
  return { profile: { login, email, ...names }, credentials: { password: { hash } } }
}

const cut = (name: string) => [...name].slice(0, 50).join('')
