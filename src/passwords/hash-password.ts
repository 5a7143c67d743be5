import { ARGON2ID_COSTS, type Argon2idCosts, hashArgon2id } from './argon2id.ts'
import { BCRYPT_COSTS, type BcryptCosts, hashBcrypt } from './bcrypt.ts'
import { hashBetterAuth } from './better-auth.ts'
import { hashPbkdf2Sha256, PBKDF2_COSTS, type Pbkdf2Costs } from './pbkdf2-sha256.ts'
import { hashScrypt, SCRYPT_COSTS, type ScryptCosts } from './scrypt.ts'

/** The algorithms that a batch can choose; `none` stores no hash. */
export const ALGORITHMS = ['argon2id', 'scrypt', 'bcrypt', 'pbkdf2_sha256', 'better_auth', 'none'] as const

export type Algorithm = (typeof ALGORITHMS)[number]

/** An algorithm with all its costs. */
export type HashSettings =
  | ({ algorithm: 'argon2id' } & Argon2idCosts)
  | ({ algorithm: 'scrypt' } & ScryptCosts)
  | ({ algorithm: 'bcrypt' } & BcryptCosts)
  | ({ algorithm: 'pbkdf2_sha256' } & Pbkdf2Costs)
  | { algorithm: 'better_auth' }
  | { algorithm: 'none' }

/** The options of each algorithm, with their defaults. Each algorithm's file says why. */
export const DEFAULT_COSTS = {
  argon2id: ARGON2ID_COSTS,
  scrypt: SCRYPT_COSTS,
  bcrypt: BCRYPT_COSTS,
  pbkdf2_sha256: PBKDF2_COSTS,
  better_auth: {},
  none: {},
} as const satisfies Record<Algorithm, object>

/** Returns the settings, with the default for each cost that is missing. Batches of earlier versions stored no costs. */
export const withCosts = (settings: { algorithm: Algorithm }) =>
  ({ ...DEFAULT_COSTS[settings.algorithm], ...settings }) as HashSettings

/**
 * Hashes a password with a random salt, in the text format that systems under test store and verify (each algorithm's file lists
 * these systems). Null for `none`. Blocks the thread for about `hashCostMs`, so it belongs in a worker thread. Throws what
 * `hashBcrypt` throws.
 */
export function hashPassword(settings: HashSettings, password: string): string | null {
  switch (settings.algorithm) {
    case 'argon2id':
      return hashArgon2id(password, settings)
    case 'scrypt':
      return hashScrypt(password, settings)
    case 'bcrypt':
      return hashBcrypt(password, settings)
    case 'pbkdf2_sha256':
      return hashPbkdf2Sha256(password, settings)
    case 'better_auth':
      return hashBetterAuth(password)
    case 'none':
      return null
  }
}
