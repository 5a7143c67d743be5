import { pbkdf2Sync } from 'node:crypto'
import { alphanumericSalt } from './generate.ts'

export interface Pbkdf2Costs {
  iterations: number
  /** Characters of the salt, a byte each. */
  salt_bytes: number
}

/** The iterations of Django 6.1 (release notes; 6.0: 1,200,000, 5.2: 1,000,000); OWASP's minimum is 600,000. And Django's salt. */
export const PBKDF2_COSTS: Pbkdf2Costs = { iterations: 1_500_000, salt_bytes: 22 }
const HASH_BYTES = 32

/**
 * Hashes a password with PBKDF2-HMAC-SHA-256 (RFC 8018) in Django's format, `pbkdf2_sha256$1500000$<salt>$<base64,
 * padded>`, which Django since 1.4 and passlib's `django_pbkdf2_sha256` verify. The salt is text, used as its own
 * bytes: 22 characters, 131 random bits.
 *
 * Takes 240 to 440 ms of one core by default (argon2id on the same core: 35 to 55). At login, Django rehashes and stores a password
 * whose hash has another number of iterations than its own, or a salt of under 22 characters (`must_update`). A load test should not
 * measure that; the presets `django-…` have the iterations of each version. `salt` is only for reproducing a known hash.
 */
export function hashPbkdf2Sha256(
  password: string,
  { iterations, salt_bytes } = PBKDF2_COSTS,
  salt = alphanumericSalt(salt_bytes),
): string {
  const hash = pbkdf2Sync(password, salt, iterations, HASH_BYTES, 'sha256')
  return `pbkdf2_sha256$${iterations}$${salt}$${hash.toString('base64')}`
}
