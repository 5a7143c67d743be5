import { hashArgon2id } from './argon2id.ts'
import { hashBcrypt } from './bcrypt.ts'
import { hashPbkdf2Sha256 } from './pbkdf2-sha256.ts'
import { hashScrypt } from './scrypt.ts'

/** The algorithms that a batch can choose; `none` stores no hash. */
export const ALGORITHMS = ['argon2id', 'scrypt', 'bcrypt', 'pbkdf2_sha256', 'none'] as const

export type Algorithm = (typeof ALGORITHMS)[number]

const HASHERS: Record<Exclude<Algorithm, 'none'>, (password: string) => string> = {
  argon2id: hashArgon2id,
  scrypt: hashScrypt,
  bcrypt: hashBcrypt,
  pbkdf2_sha256: hashPbkdf2Sha256,
}

/**
 * Hashes a password with a random salt, in the text format that systems under test store and verify (each algorithm's file lists
 * these systems). Blocks the thread for 35 to 440 ms, so it belongs in a worker thread. Throws what `hashBcrypt` throws.
 */
export function hashPassword(algorithm: Exclude<Algorithm, 'none'>, password: string): string {
  return HASHERS[algorithm](password)
}
