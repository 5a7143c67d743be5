import { argon2Sync, createHmac, pbkdf2Sync, randomBytes, randomInt, scryptSync } from 'node:crypto'
import { genSaltSync, hashSync } from 'bcryptjs'

/*
 * The algorithms that hash passwords, in the formats of the systems under test. Each function blocks its thread, so it
 * belongs in a worker thread. `salt` is only for reproducing a known hash.
 */

export interface Argon2idCosts {
  memory_kib: number
  /** Passes over the memory. */
  iterations: number
  /** Lanes. One thread computes them all, so more lanes cost the same. */
  parallelism: number
}

/** OWASP's minimum for argon2id (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane; 35 to 55 ms of one core. */
export const ARGON2ID_COSTS: Argon2idCosts = { memory_kib: 19_456, iterations: 2, parallelism: 1 }

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')

/**
 * Hashes a password with argon2id (RFC 9106) and a random salt, as a PHC string that common libraries verify.
 */
export function hashArgon2id(
  password: string,
  { memory_kib, iterations, parallelism } = ARGON2ID_COSTS,
  salt = randomBytes(16),
): string {
  const hash = argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    parallelism,
    tagLength: 32,
    memory: memory_kib,
    passes: iterations,
  })
  return `$argon2id$v=19$m=${memory_kib},t=${iterations},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
}

/** The parameters N, r and p of RFC 7914. */
export interface ScryptCosts {
  n: number
  r: number
  p: number
}

/** N, r and p of Werkzeug's `generate_password_hash` default. See below why not OWASP's. */
export const SCRYPT_COSTS: ScryptCosts = { n: 32_768, r: 8, p: 1 }

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
 */
export function hashScrypt(password: string, costs = SCRYPT_COSTS, salt = alphanumericSalt(16)): string {
  const { n, r, p } = costs
  const hash = scryptSync(password, salt, 64, {
    cost: n,
    blockSize: r,
    parallelization: p,
    maxmem: 2 * scryptBytes(costs) + 256 * r * p, // twice what it uses; Node's default, 32 MiB, is too small
  })
  return `scrypt:${n}:${r}:${p}$${salt}$${hash.toString('hex')}`
}

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
 * the prefix `$2y$`, unless `hashing.bcrypt.verify` is off; Django expects `bcrypt$` in front.)
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

export interface Pbkdf2Costs {
  iterations: number
  /** Characters of the salt, a byte each. */
  salt_bytes: number
}

/** The iterations of Django 6.1 (release notes; 6.0: 1,200,000, 5.2: 1,000,000); OWASP's minimum is 600,000. And Django's salt. */
export const PBKDF2_COSTS: Pbkdf2Costs = { iterations: 1_500_000, salt_bytes: 22 }

/**
 * Hashes a password with PBKDF2-HMAC-SHA-256 (RFC 8018) in Django's format, `pbkdf2_sha256$1500000$<salt>$<base64,
 * padded>`, which Django since 1.4 and passlib's `django_pbkdf2_sha256` verify. The salt is text, used as its own
 * bytes: 22 characters, 131 random bits.
 *
 * Takes 240 to 440 ms of one core by default (argon2id on the same core: 35 to 55). At login, Django rehashes and stores a password
 * whose hash has another number of iterations than its own, or a salt of under 22 characters (`must_update`). A load test should not
 * measure that; the presets `django-…` have the iterations of each version.
 */
export function hashPbkdf2Sha256(
  password: string,
  { iterations, salt_bytes } = PBKDF2_COSTS,
  salt = alphanumericSalt(salt_bytes),
): string {
  const hash = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  return `pbkdf2_sha256$${iterations}$${salt}$${hash.toString('base64')}`
}

/** N = 16,384, r = 16 and p = 1 are fixed in better-auth, so they are in no hash and no option can change them. */
const BETTER_AUTH_COSTS = { cost: 16_384, blockSize: 16, parallelization: 1, maxmem: 256 * 16_384 * 16 }

/**
 * Hashes a password in the format of better-auth (npm `@better-auth/utils`, `password`): `<32 hex digits of salt>:<128 hex digits>`,
 * scrypt (RFC 7914) of the password in Unicode form NFKC. The salt is used as text: its hex digits, not the bytes they stand for.
 * Takes 85 to 105 ms of one core and 32 MiB.
 */
export function hashBetterAuth(password: string, salt = randomBytes(16).toString('hex')): string {
  return `${salt}:${scryptSync(password.normalize('NFKC'), salt, 64, BETTER_AUTH_COSTS).toString('hex')}`
}

const SALT_CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Returns a random salt of letters and digits, like those of Django and Werkzeug: 5.95 bits a character. Other characters are not
 * safe: passlib rejects a Django hash whose salt has the `-` or `_` of base64url.
 */
export function alphanumericSalt(length: number): string {
  return Array.from({ length }, () => SALT_CHARACTERS.charAt(randomInt(SALT_CHARACTERS.length))).join('')
}
