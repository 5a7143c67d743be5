import { base64, type PasswordHash } from './password-hash.ts'

/**
 * Returns a hash as the value of the LDAP attribute `userPassword`: a scheme in braces in front (RFC 2307). Returns undefined if
 * OpenLDAP verifies no such hash. Its `{PBKDF2-SHA256}` takes salts of 16 bytes only (contrib/slapd-modules/passwd/pbkdf2), in
 * base64 without padding and with `.` for `+`. scrypt has the form `$7$` of crypt(3), with its salt as text.
 */
export function userPassword(hash: PasswordHash): string | undefined {
  switch (hash.algorithm) {
    case 'argon2id':
      return `{ARGON2}${hash.text}`
    case 'bcrypt':
      return `{CRYPT}${hash.text}`
    case 'scrypt': {
      const costs = `${ALPHABET.charAt(Math.log2(hash.n))}${itoa64(hash.r, 30)}${itoa64(hash.p, 30)}`
      return `{CRYPT}$7$${costs}${hash.salt}$${first32Bytes(hash.hash)}`
    }
    case 'pbkdf2_sha256':
      if (hash.salt.length !== 16) return undefined
      return `{PBKDF2-SHA256}${hash.iterations}$${adaptedBase64(hash.salt)}$${adaptedBase64(hash.hash)}`
    default:
      return undefined
  }
}

const adaptedBase64 = (value: Buffer | string) => base64(value).replaceAll('+', '.').replace(/=+$/, '')

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** A number as characters of crypt(3), six bits each, the lowest first. */
const itoa64 = (value: number, bits: number): string =>
  Array.from({ length: Math.ceil(bits / 6) }, (_, n) => ALPHABET.charAt((value >>> (6 * n)) & 63)).join('')

/** The hash of `$7$`: what scrypt computes for 32 bytes is the beginning of what it computes for more. */
function first32Bytes(hash: Buffer): string {
  const bytes = hash.subarray(0, 32)
  let text = ''
  for (let at = 0; at < 32; at += 3) {
    const count = Math.min(3, 32 - at)
    text += itoa64(bytes.readUIntLE(at, count), count * 8)
  }
  return text
}
