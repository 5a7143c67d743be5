import { scryptSync } from 'node:crypto'
import { alphanumericSalt } from './generate.ts'

/** The parameters N, r and p of RFC 7914. */
export interface ScryptCosts {
  n: number
  r: number
  p: number
}

/** N, r and p of Werkzeug's `generate_password_hash` default. See below why not OWASP's. */
export const SCRYPT_COSTS: ScryptCosts = { n: 32_768, r: 8, p: 1 }
const HASH_BYTES = 64

/** Bytes of memory that one hash uses: 32 MiB by default. */
export const scryptBytes = ({ n, r }: ScryptCosts) => 128 * n * r

/**
 * Hashes a password with scrypt (RFC 7914) in Werkzeug's format, `scrypt:32768:8:1$<salt>$<128 hex digits>`, which Flask
 * applications verify with `check_password_hash` since Werkzeug 2.3. The salt is text, used as its own bytes, and as long
 * as Werkzeug's (16 characters, 95 random bits), so that the 162 characters fit any column that fits Werkzeug's own.
 *
 * Takes 90 to 150 ms of one core by default (argon2id on the same core: 35 to 55) and 32 MiB. OWASP (Password Storage Cheat Sheet)
 * recommends p = 3 at this N, or N = 2^17: three or four times the work. But the parameters in a hash set the cost of each login
 * on the system under test, and a load test must measure the cost that real users' hashes have.
 * `salt` is only for reproducing a known hash.
 */
export function hashScrypt(password: string, costs = SCRYPT_COSTS, salt = alphanumericSalt(16)): string {
  const { n, r, p } = costs
  const hash = scryptSync(password, salt, HASH_BYTES, {
    cost: n,
    blockSize: r,
    parallelization: p,
    maxmem: 2 * scryptBytes(costs) + 256 * r * p, // twice what it uses; Node's default, 32 MiB, is too small
  })
  return `scrypt:${n}:${r}:${p}$${salt}$${hash.toString('hex')}`
}
