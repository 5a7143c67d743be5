import type { PasswordHash, ScryptHash } from './password-hash.ts'
import { base64, unpaddedBase64 } from './password-hash.ts'
import { NO_LIMIT, namesOf, renderer, type SystemFormat, type SystemUser } from './system-format.ts'

/** The attributes of an entry, in order. */
export type LdapEntry = [attribute: string, value: string][]

/** The entry under which users are, unless a request names another one. */
export const DEFAULT_BASE_DN = 'ou=people,dc=example,dc=com'

/**
 * LDIF (RFC 2849) for `slapadd` and `ldapadd`: an inetOrgPerson (RFC 2798) for each user under `baseDn`, which must exist. Lines are
 * not folded. Custom attributes stay out: entries have only attributes of a schema.
 */
export const ldif = (baseDn: string): SystemFormat<LdapEntry> => ({
  mediaType: 'text/x-ldif',
  hasPasswords: true,
  part: NO_LIMIT,
  render: renderer({
    name: 'OpenLDAP',
    preset: 'openldap',
    takes: 'argon2id, bcrypt, scrypt, and pbkdf2_sha256 with "salt_bytes": 16',
    password: passwordOf,
    // IA5String is ASCII.
    fault: ({ email }) => (/\P{ASCII}/u.test(email) ? 'email is not ASCII' : undefined),
    object: (user, password) => entryOf(user, password, baseDn),
  }),
  write: (entry) => entry.map(([attribute, value]) => `${line(attribute, value)}\n`).join(''),
  head: () => 'version: 1\n\n',
  separator: '\n',
  tail: '',
})

/** The scheme of RFC 3112 in front. pw-pbkdf2 has a fixed length of salt. */
function passwordOf(hash: PasswordHash): string | undefined {
  if (hash.algorithm === 'argon2id') return `{ARGON2}${hash.text}`
  if (hash.algorithm === 'bcrypt') return `{CRYPT}${hash.text}`
  if (hash.algorithm === 'scrypt') return `{CRYPT}${cryptScrypt(hash)}`
  if (hash.algorithm !== 'pbkdf2_sha256' || hash.salt.length !== 16) return undefined
  const adapted = (value: Buffer | string) => unpaddedBase64(value).replaceAll('+', '.')
  return `{PBKDF2-SHA256}${hash.iterations}$${adapted(hash.salt)}$${adapted(hash.hash)}`
}

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/**
 * The form `$7$` of crypt(3): N, r, p, the salt as text, and the first 32 bytes of the hash, which are what scrypt computes for this
 * length. Six bits a character, the lowest first.
 */
function cryptScrypt({ n, r, p, salt, hash }: ScryptHash): string {
  const costs = `${ALPHABET.charAt(Math.log2(n))}${characters(r, 30)}${characters(p, 30)}`
  let text = ''
  for (let at = 0; at < 32; at += 3) {
    const bytes = Math.min(3, 32 - at)
    text += characters(hash.readUIntLE(at, bytes), bytes * 8)
  }
  return `$7$${costs}${salt}$${text}`
}

const characters = (value: number, bits: number): string =>
  Array.from({ length: Math.ceil(bits / 6) }, (_, n) => ALPHABET.charAt((value >>> (6 * n)) & 63)).join('')

function entryOf(user: SystemUser, password: string, baseDn: string): LdapEntry {
  const { id, username, email, role } = user
  const { first, last } = namesOf(user)
  return [
    ['dn', `uid=${escaped(username)},${baseDn}`],
    ['objectClass', 'inetOrgPerson'],
    ['uid', username],
    ['cn', [first, last].filter((name) => name !== undefined).join(' ') || username],
    ['sn', last ?? username],
    ...(first === undefined ? [] : ([['givenName', first]] satisfies LdapEntry)),
    ['mail', email],
    ['employeeNumber', id],
    ['employeeType', role],
    ['userPassword', password],
  ]
}

/** A value in a distinguished name (RFC 4514 section 2.4). Control characters are bytes in hex. */
const escaped = (value: string): string =>
  value
    .replaceAll(/["+,;<>\\=]/g, '\\$&')
    .replaceAll(/\p{Cc}/gu, (character) => Buffer.from(character).toString('hex').replaceAll(/../g, '\\$&'))
    .replace(/^[ #]/, '\\$&')
    .replace(/(?<!^\\) $/, '\\ ')

/** Printable ASCII that does not begin like base64 or a URL, and has no blank at an end. The rest is base64 (RFC 2849). */
const SAFE = /^(?![ :<])[ -~]*(?<! )$/

const line = (attribute: string, value: string): string =>
  SAFE.test(value) ? `${attribute}: ${value}` : `${attribute}:: ${base64(value)}`
