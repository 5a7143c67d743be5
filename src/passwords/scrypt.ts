import { randomBytes, scryptSync } from 'node:crypto'

/** N, r and p of Werkzeug's default (`generate_password_hash`, 2.3 to 3.1); see below why not OWASP's. */
const COST = 32_768
const BLOCK_SIZE = 8
const LANES = 1
const HASH_BYTES = 64

/**
 * Hashes a password with scrypt (RFC 7914) in Werkzeug's form, `scrypt:32768:8:1$<salt>$<128 hex digits>`, which Flask
 * applications verify by `check_password_hash` since Werkzeug 2.3. The salt is text, used as its own bytes, and as long as
 * Werkzeug's (16 characters, 96 random bits), so that the 162 characters fit any column that holds Werkzeug's own.
 *
 * 100 to 150 ms of one core (argon2id beside it: 35 to 55) and 32 MiB. OWASP asks for three times that (p = 3 at this N, or N = 2^17 with p = 1), and the
 * form could say so; but the parameters in a hash set what each login costs the system under test, and a load test must
 * find the cost that real users' hashes have there. `salt` and `cost` are given only to make a known hash again.
 */
export function hashScrypt(password: string, salt = randomBytes(12).toString('base64url'), cost = COST): string {
  const hash = scryptSync(password, salt, HASH_BYTES, {
    cost,
    blockSize: BLOCK_SIZE,
    parallelization: LANES,
    maxmem: 256 * cost * BLOCK_SIZE, // scrypt fills 128 * cost * BLOCK_SIZE and a little; Node's limit is that very number
  })
  return `scrypt:${cost}:${BLOCK_SIZE}:${LANES}$${salt}$${hash.toString('hex')}`
}
