const SCRYPT = /^scrypt:(\d+):(\d+):(\d+)\$([^$]+)\$([0-9a-f]{128})$/
const PBKDF2 = /^pbkdf2_sha256\$(\d+)\$([^$]{16})\$([A-Za-z0-9+/]+)=*$/

/**
 * Returns a stored hash as the value of the LDAP attribute `userPassword`: a scheme in braces in front (RFC 2307). Returns undefined if
 * OpenLDAP verifies no such hash. Its `{PBKDF2-SHA256}` takes salts of 16 bytes only (contrib/slapd-modules/passwd/pbkdf2), in
 * base64 without padding and with `.` for `+`. scrypt has the form `$7$` of crypt(3), with its salt as text.
 */
export function userPassword(hash: string): string | undefined {
  if (hash.startsWith('$argon2id$')) return `{ARGON2}${hash}`
  if (/^\$2[by]\$/.test(hash)) return `{CRYPT}${hash}`
  const [, n, r, p, scryptSalt = '', hex = ''] = SCRYPT.exec(hash) ?? []
  if (n !== undefined)
    return `{CRYPT}$7$${ALPHABET.charAt(Math.log2(Number(n)))}${itoa64(Number(r), 30)}${itoa64(Number(p), 30)}${scryptSalt}$${first32Bytes(hex)}`
  const [, iterations, salt = '', key = ''] = PBKDF2.exec(hash) ?? []
  if (iterations === undefined) return undefined
  const adapted = (base64: string) => base64.replaceAll('+', '.').replace(/=+$/, '')
  return `{PBKDF2-SHA256}${iterations}$${adapted(Buffer.from(salt).toString('base64'))}$${adapted(key)}`
}

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** A number as characters of crypt(3), six bits each, the lowest first. */
const itoa64 = (value: number, bits: number): string =>
  Array.from({ length: Math.ceil(bits / 6) }, (_, n) => ALPHABET.charAt((value >>> (6 * n)) & 63)).join('')

/** The hash of `$7$`: what scrypt computes for 32 bytes is the beginning of what it computes for more. */
function first32Bytes(hex: string): string {
  const bytes = Buffer.from(hex, 'hex').subarray(0, 32)
  let text = ''
  for (let at = 0; at < 32; at += 3) {
    const count = Math.min(3, 32 - at)
    text += itoa64(bytes.readUIntLE(at, count), count * 8)
  }
  return text
}
