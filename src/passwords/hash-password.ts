import {
  ARGON2ID_COSTS,
  type Argon2idCosts,
  BCRYPT_COSTS,
  type BcryptCosts,
  hashArgon2id,
  hashBcrypt,
  hashBetterAuth,
  hashPbkdf2Sha256,
  hashScrypt,
  PBKDF2_COSTS,
  type Pbkdf2Costs,
  SCRYPT_COSTS,
  type ScryptCosts,
} from './hash-algorithms.ts'

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

/** The options of each algorithm, with their defaults. hash-algorithms.ts says why. */
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
 * Hashes a password with a random salt, in the text format that systems under test store and verify (hash-algorithms.ts lists these
 * systems). Null for `none`. Blocks the thread for about `hashCostMs`, so it belongs in a worker thread. Throws what `hashBcrypt`
 * throws.
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

/**
 * Milliseconds of one core for one unit of an algorithm's work. Measured in November 2026 on a 2-core machine at work (CPU time of
 * the process, median of three, rounded up): argon2id 31 to 208 ms for 36,000 to 197,000 KiB passes, scrypt 86 to 188 ms for 262,000
 * to 655,000 blocks, bcrypt 21 and 87 ms at costs 8 and 10, pbkdf2 42 ms for 260,000 and 350 to 440 ms for 1,500,000 iterations. So
 * they are right within a factor of two, here and on common servers.
 */
const MS = { argon2id: 0.001_2, scrypt: 0.000_4, bcrypt: 0.1, pbkdf2_sha256: 0.000_25 }

/** Estimates how many milliseconds of one core one hash takes. The work is proportional to the costs; 0 for `none`. */
export function hashCostMs(settings: HashSettings): number {
  switch (settings.algorithm) {
    case 'argon2id':
      return MS.argon2id * settings.memory_kib * settings.iterations
    case 'scrypt':
      return MS.scrypt * settings.n * settings.r * settings.p
    case 'bcrypt':
      return MS.bcrypt * 2 ** settings.cost
    case 'pbkdf2_sha256':
      return MS.pbkdf2_sha256 * settings.iterations
    case 'better_auth':
      return MS.scrypt * 16_384 * 16
    case 'none':
      return 0
  }
}
