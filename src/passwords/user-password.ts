const PBKDF2 = /^pbkdf2_sha256\$(\d+)\$([^$]{16})\$([A-Za-z0-9+/]+)=*$/

/**
 * Returns a stored hash as the value of the LDAP attribute `userPassword`: a scheme in braces in front (RFC 2307). Returns undefined if
 * OpenLDAP verifies no such hash. Its `{PBKDF2-SHA256}` takes salts of 16 bytes only (contrib/slapd-modules/passwd/pbkdf2), in
 * base64 without padding and with `.` for `+`.
 */
export function userPassword(hash: string): string | undefined {
  if (hash.startsWith('$argon2id$')) return `{ARGON2}${hash}`
  if (/^\$2[by]\$/.test(hash)) return `{CRYPT}${hash}`
  const [, iterations, salt = '', key = ''] = PBKDF2.exec(hash) ?? []
  if (iterations === undefined) return undefined
  const adapted = (base64: string) => base64.replaceAll('+', '.').replace(/=+$/, '')
  return `{PBKDF2-SHA256}${iterations}$${adapted(Buffer.from(salt).toString('base64'))}$${adapted(key)}`
}
