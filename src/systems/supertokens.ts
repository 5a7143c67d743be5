import type { PasswordHash } from './password-hash.ts'
import { jsonBetween, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** A user of SuperTokens's bulk import. `externalUserId` is our id. */
export interface SuperTokensUser {
  externalUserId: string
  userMetadata: Record<string, unknown>
  loginMethods: [SuperTokensLogin]
}

interface SuperTokensLogin extends SuperTokensPassword {
  recipeId: 'emailpassword'
  email: string
  isVerified: true
  timeJoinedInMSSinceEpoch: number
}

interface SuperTokensPassword {
  passwordHash: string
  hashingAlgorithm: 'argon2' | 'bcrypt'
}

/**
 * The body of `POST /bulk-import/users`. One invalid user refuses the request. Roles are metadata, since a role in `userRoles` must
 * exist. Source: supertokens/supertokens-core @0c1739b.
 */
export const supertokens: SystemFormat<SuperTokensUser> = {
  ...jsonBetween('{"users":[\n', '\n]}\n'),
  hasPasswords: true,
  part: { users: 10_000, bytes: Number.POSITIVE_INFINITY },
  render: renderer({
    name: 'SuperTokens',
    preset: 'supertokens',
    takes: 'argon2id and bcrypt',
    password: passwordOf,
    object: userOf,
  }),
}

function passwordOf({ algorithm, text }: PasswordHash): SuperTokensPassword | undefined {
  if (algorithm === 'argon2id') return { passwordHash: text, hashingAlgorithm: 'argon2' }
  if (algorithm === 'bcrypt') return { passwordHash: text, hashingAlgorithm: 'bcrypt' }
  return undefined
}

function userOf(user: SystemUser, password: SuperTokensPassword): SuperTokensUser {
  const { id, email, role, custom_attributes, created_at } = user
  const joined = { isVerified: true, timeJoinedInMSSinceEpoch: Date.parse(created_at) } as const
  return {
    externalUserId: id,
    userMetadata: { ...custom_attributes, role },
    loginMethods: [{ recipeId: 'emailpassword', email, ...password, ...joined }],
  }
}
