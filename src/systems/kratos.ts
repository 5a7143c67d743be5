import { base64, type PasswordHash, phcPbkdf2 } from './password-hash.ts'
import { jsonBetween, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** An element of `identities`. `patch_id` and `external_id` are our id; Kratos sets its own. */
export interface KratosPatch {
  patch_id: string
  create: {
    schema_id: string
    /** The trait of Kratos's preset `email`. A schema with other traits needs other ones. */
    traits: Record<string, unknown>
    external_id: string
    state: 'active'
    credentials: { password: { config: { hashed_password: string } } }
    verifiable_addresses: { value: string; verified: true; via: 'email'; status: 'completed' }[]
    metadata_public: { role: string; custom_attributes: Record<string, unknown> }
  }
}

/**
 * The body of `PATCH /admin/identities`. One invalid identity fails the request, so the bounds of hashes are checked here. Sources:
 * ory/kratos @b86338d identity/handler.go, hash/hash_comparator.go, hash/hash_limits.go.
 */
export const kratos: SystemFormat<KratosPatch> = {
  ...jsonBetween('{"identities":[\n', '\n]}\n'),
  hasPasswords: true,
  part: { users: 1_000, bytes: 8_000_000 },
  render: renderer({
    name: 'Kratos',
    preset: 'kratos',
    takes:
      'bcrypt, argon2id with at most 10 iterations, scrypt with n up to 131072, r up to 8 and p up to 10, and pbkdf2_sha256',
    password: hashOf,
    object: patchOf,
  }),
}

/** Kratos reads scrypt with padded base64 and N itself as `ln`, and pbkdf2 with unpadded base64, both strictly. */
function hashOf(hash: PasswordHash): string | undefined {
  if (hash.algorithm === 'bcrypt') return hash.text
  if (hash.algorithm === 'argon2id' && hash.iterations <= 10) return hash.text
  if (hash.algorithm === 'scrypt' && hash.n <= 131_072 && hash.r <= 8 && hash.p <= 10)
    return `$scrypt$ln=${hash.n},r=${hash.r},p=${hash.p}$${base64(hash.salt)}$${base64(hash.hash)}`
  if (hash.algorithm === 'pbkdf2_sha256') return phcPbkdf2(hash)
  return undefined
}

function patchOf({ id, email, role, custom_attributes }: SystemUser, hashed_password: string): KratosPatch {
  return {
    patch_id: id,
    create: {
      schema_id: 'default',
      traits: { email },
      external_id: id,
      state: 'active',
      credentials: { password: { config: { hashed_password } } },
      verifiable_addresses: [{ value: email, verified: true, via: 'email', status: 'completed' }],
      metadata_public: { role, custom_attributes },
    },
  }
}
