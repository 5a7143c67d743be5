import { genSaltSync, hashSync } from 'bcryptjs'

/** OWASP's least (Password Storage Cheat Sheet), and the default of Spring Security and bcryptjs. */
const COST = 10

/** bcrypt reads no more of a password than this, in UTF-8. */
export const MOST_BCRYPT_BYTES = 72

/**
 * Hashes a password with bcrypt as `$2b$10$<22 characters of salt><31 of hash>`, which crypt(3), PHP's
 * `password_verify`, Spring Security, Rails, Flask-Bcrypt, Go's x/crypto and Node's libraries verify. (Laravel wants
 * the same hash called `$2y$`, unless `hashing.bcrypt.verify` is off; Django wants `bcrypt$` before it.) `salt` is
 * given only to make a known hash again.
 *
 * 100 to 130 ms of one core (argon2id beside it: 35 to 55). bcryptjs is plain JavaScript, the same for every platform;
 * the native @node-rs/bcrypt takes three quarters of the time, and some of its platform packages may be missing in a
 * registry.
 *
 * Throws a RangeError for a password that verifiers refuse, or know only the beginning of: longer than 72 bytes in
 * UTF-8, or with a NUL in it (crypt(3) ends there).
 */
export function hashBcrypt(password: string, salt = genSaltSync(COST)): string {
  if (Buffer.byteLength(password) > MOST_BCRYPT_BYTES) {
    throw new RangeError(`bcrypt takes passwords of at most ${MOST_BCRYPT_BYTES} bytes in UTF-8`)
  }
  if (password.includes('\0')) throw new RangeError('bcrypt takes no password with a NUL in it')
  return hashSync(password, salt)
}
