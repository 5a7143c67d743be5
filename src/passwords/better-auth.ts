import { randomBytes, scryptSync } from 'node:crypto'

/** Fixed in better-auth, so they are in no hash and no option can change them. */
const COSTS = { cost: 16_384, blockSize: 16, parallelization: 1, maxmem: 256 * 16_384 * 16 }

/**
 * Hashes a password in the format of better-auth (npm `@better-auth/utils`, `password`): `<32 hex digits of salt>:<128 hex digits>`,
 * scrypt (RFC 7914) of the password in Unicode form NFKC. The salt is used as text: its hex digits, not the bytes they stand for.
 * Takes 85 to 105 ms of one core and 32 MiB. `salt` is only for reproducing a known hash.
 */
export function hashBetterAuth(password: string, salt = randomBytes(16).toString('hex')): string {
  return `${salt}:${scryptSync(password.normalize('NFKC'), salt, 64, COSTS).toString('hex')}`
}
