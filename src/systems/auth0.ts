import { type PasswordHash, phcPbkdf2 } from './password-hash.ts'
import { jsonBetween, namesOf, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** A user of Auth0's import. Its schema is closed. Auth0 writes `auth0|` before the id. */
export type Auth0User = Auth0Password & {
  user_id: string
  email: string
  email_verified: true
  given_name?: string
  family_name?: string
  app_metadata: { role: string }
  user_metadata: Record<string, unknown>
}

type Auth0Password =
  | { password_hash: string }
  | {
      custom_password_hash: {
        algorithm: 'argon2' | 'bcrypt' | 'pbkdf2' | 'scrypt'
        hash: { value: string; encoding: 'utf8' | 'hex' }
        salt?: { value: string; encoding: 'utf8' }
        keylen?: number
        cost?: number
        blockSize?: number
        parallelization?: number
      }
    }

/**
 * The file `users` of `POST /api/v2/jobs/users-imports`. Auth0 takes 500 KB; 400 KB leave room for what surrounds the file in the
 * request. Attributes are in `user_metadata`, since `app_metadata` has reserved names. Without `username`: only connections that
 * require one take it. Source: auth0/docs-v2 bulk-user-import-schema.mdx @03dc323.
 */
export const auth0: SystemFormat<Auth0User> = {
  ...jsonBetween('[\n', '\n]\n'),
  hasPasswords: true,
  part: { users: 1_000, bytes: 400_000 },
  render: renderer({
    name: 'Auth0',
    preset: 'auth0',
    takes: 'bcrypt, argon2id, scrypt and pbkdf2_sha256',
    password: passwordOf,
    object: userOf,
  }),
}

/** `password_hash` takes `$2b$` at cost 10, Auth0's own. Auth0 replaces a `custom_password_hash` at the first login. */
function passwordOf(hash: PasswordHash): Auth0Password | undefined {
  if (hash.algorithm === 'bcrypt' && hash.cost === 10 && hash.text.startsWith('$2b$'))
    return { password_hash: hash.text }
  if (hash.algorithm === 'bcrypt') return custom('bcrypt', hash.text)
  if (hash.algorithm === 'argon2id') return custom('argon2', hash.text)
  if (hash.algorithm === 'pbkdf2_sha256') return custom('pbkdf2', phcPbkdf2(hash))
  if (hash.algorithm !== 'scrypt') return undefined
  return {
    custom_password_hash: {
      algorithm: 'scrypt',
      hash: { value: hash.hash.toString('hex'), encoding: 'hex' },
      salt: { value: hash.salt, encoding: 'utf8' },
      keylen: hash.hash.length,
      cost: hash.n,
      blockSize: hash.r,
      parallelization: hash.p,
    },
  }
}

const custom = (algorithm: 'argon2' | 'bcrypt' | 'pbkdf2', value: string): Auth0Password => ({
  custom_password_hash: { algorithm, hash: { value, encoding: 'utf8' } },
})

function userOf(user: SystemUser, password: Auth0Password): Auth0User {
  const { id, email, role, custom_attributes } = user
  const { first, last } = namesOf(user)
  return {
    user_id: id,
    email,
    email_verified: true,
    ...(first !== undefined && { given_name: first }),
    ...(last !== undefined && { family_name: last }),
    ...password,
    app_metadata: { role },
    user_metadata: custom_attributes,
  }
}
