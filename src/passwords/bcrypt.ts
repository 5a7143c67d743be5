import { genSaltSync, hashSync } from 'bcryptjs'

/** OWASP's minimum (Password Storage Cheat Sheet), and the default of Spring Security and bcryptjs. */
const COST = 10

/** bcrypt ignores everything after this many bytes of a password in UTF-8. */
export const MAX_BCRYPT_BYTES = 72

/**
 * Hashes a password with bcrypt as `$2b$10$<22 characters of salt><31 of hash>`, which crypt(3), PHP's
 * `password_verify`, Spring Security, Rails, Flask-Bcrypt, Go's x/crypto and Node's libraries verify. (Laravel expects
 * the prefix `$2y$`, unless `hashing.bcrypt.verify` is off; Django expects `bcrypt$` in front.) `salt` is only for
 * reproducing a known hash.
 *
 * Takes 100 to 130 ms of one core (argon2id on the same core: 35 to 55). bcryptjs is plain JavaScript, the same on every
 * platform; the native @node-rs/bcrypt takes three quarters of the time, but some of its platform packages may be missing
 * in a registry.
 *
 * Throws a RangeError for a password that verifiers reject or truncate: longer than 72 bytes in UTF-8, or with a NUL
 * (crypt(3) stops there).
 */
export function hashBcrypt(password: string, salt = genSaltSync(COST)): string {
  if (Buffer.byteLength(password) > MAX_BCRYPT_BYTES) {
    throw new RangeError(`bcrypt takes passwords of at most ${MAX_BCRYPT_BYTES} bytes in UTF-8`)
  }
  if (password.includes('\0')) throw new RangeError('bcrypt does not accept a password with a NUL')
  return hashSync(password, salt)
}
