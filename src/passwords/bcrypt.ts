import { createHmac } from 'node:crypto'
import { genSaltSync, hashSync } from 'bcryptjs'

export interface BcryptCosts {
  /** The number of rounds is 2 to the power of this. */
  cost: number
  prefix: BcryptPrefix
}

/**
 * How the hash begins. `2b` and `2y` name the same algorithm: PHP and Laravel expect `2y`. `wp$2y` is WordPress 6.8 and later: the
 * same bcrypt, of a digest of the password.
 */
export const BCRYPT_PREFIXES = ['2b', '2y', 'wp$2y'] as const
export type BcryptPrefix = (typeof BCRYPT_PREFIXES)[number]

/** OWASP's minimum (Password Storage Cheat Sheet), and the default of Spring Security and bcryptjs. */
export const BCRYPT_COSTS: BcryptCosts = { cost: 10, prefix: '2b' }

/** bcrypt ignores everything after this many bytes of a password in UTF-8. */
export const MAX_BCRYPT_BYTES = 72

/** Whether bcrypt hashes the whole password: verifiers reject or truncate a longer one, and crypt(3) stops at a NUL. */
export const isForBcrypt = (password: string, prefix: BcryptPrefix) =>
  prefix === 'wp$2y' || (Buffer.byteLength(password) <= MAX_BCRYPT_BYTES && !password.includes('\0'))

/**
 * Hashes a password with bcrypt as `$2b$10$<22 characters of salt><31 of hash>`, which crypt(3), PHP's
 * `password_verify`, Spring Security, Rails, Flask-Bcrypt, Go's x/crypto and Node's libraries verify. (Laravel expects
 * the prefix `$2y$`, unless `hashing.bcrypt.verify` is off; Django expects `bcrypt$` in front.) `salt` is only for
 * reproducing a known hash.
 *
 * Takes 85 to 130 ms of one core at cost 10, twice as long at each further cost. bcryptjs is plain JavaScript, the same on
 * every platform; the native @node-rs/bcrypt takes three quarters of the time, but some of its platform packages may be missing
 * in a registry.
 *
 * Throws a RangeError for a password that is not `isForBcrypt`.
 */
export function hashBcrypt(password: string, { cost, prefix } = BCRYPT_COSTS, salt = genSaltSync(cost)): string {
  if (!isForBcrypt(password, prefix)) {
    throw new RangeError(`bcrypt takes passwords of at most ${MAX_BCRYPT_BYTES} bytes in UTF-8, without NUL`)
  }
  const hash = hashSync(prefix === 'wp$2y' ? wordPressDigest(password) : password, salt)
  return prefix === '2b' ? hash : hash.replace('$2b$', () => `$${prefix}$`)
}

/**
 * What WordPress hashes instead of the password (wp_hash_password in wp-includes/pluggable.php, since 6.8), so that a password longer
 * than 72 bytes counts as a whole. PHP's trim() removes these characters at both ends.
 */
const wordPressDigest = (password: string) =>
  createHmac('sha384', 'wp-sha384')
    .update(password.replace(/^[ \t\n\r\0\v]+|[ \t\n\r\0\v]+$/g, ''))
    .digest('base64')
