import { scryptSync } from 'node:crypto'
import { alphanumericSalt } from './alphanumeric-salt.ts'

/** N, r and p of Werkzeug's `generate_password_hash` default. See below why not OWASP's. */
const COST = 32_768
const BLOCK_SIZE = 8
const LANES = 1
const HASH_BYTES = 64

/**
 * Hashes a password with scrypt (RFC 7914) in Werkzeug's format, `scrypt:32768:8:1$<salt>$<128 hex digits>`, which Flask
 * applications verify with `check_password_hash` since Werkzeug 2.3. The salt is text, used as its own bytes, and as long
 * as Werkzeug's (16 characters, 95 random bits), so that the 162 characters fit any column that fits Werkzeug's own.
 *
 * Takes 100 to 150 ms of one core (argon2id on the same core: 35 to 55) and 32 MiB. OWASP (Password Storage Cheat Sheet)
 * recommends p = 3 at this N, or N = 2^17: three or four times the work. The format could express that. But the parameters in a
 * hash set the cost of each login on the system under test, and a load test must measure the cost that real users' hashes have.
 * `salt` and `cost` are only for reproducing a known hash.
 */
export function hashScrypt(password: string, salt = alphanumericSalt(16), cost = COST): string {
  const hash = scryptSync(password, salt, HASH_BYTES, {
    cost,
    blockSize: BLOCK_SIZE,
    parallelization: LANES,
    maxmem: 256 * cost * BLOCK_SIZE, // twice what it uses; Node's default, 32 MiB, is too small for this cost
  })
  return `scrypt:${cost}:${BLOCK_SIZE}:${LANES}$${salt}$${hash.toString('hex')}`
}
