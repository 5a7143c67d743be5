import { writeRdn } from './distinguished-names.ts'
import { base64 } from './password-hash.ts'
import { NO_LIMIT, namesOf, renderer, type SystemFormat, type SystemUser } from './system-format.ts'
import { userPassword } from './user-password.ts'

/** The attributes of an entry, in order. */
export type LdapEntry = [attribute: string, value: string][]

/** The entry under which users are, unless a request names another one. */
export const DEFAULT_BASE_DN = 'ou=people,dc=example,dc=com'

/**
 * LDIF (RFC 2849) for `slapadd` and `ldapadd`: an inetOrgPerson (RFC 2798) for each user under `baseDn`, which must exist. As in the
 * files of `slapcat`, there is no line `version: 1`, which slapadd 2.5 rejects. Lines are not folded. Custom attributes stay out:
 * entries have only attributes of a schema.
 */
export const ldif = (baseDn: string): SystemFormat<LdapEntry> => ({
  mediaType: 'text/x-ldif',
  hasPasswords: true,
  part: NO_LIMIT,
  render: renderer({
    name: 'OpenLDAP',
    preset: 'openldap',
    takes: 'argon2id, bcrypt, scrypt, and pbkdf2_sha256 with "salt_bytes": 16',
    password: userPassword,
    // IA5String is ASCII.
    fault: ({ email }) => (/\P{ASCII}/u.test(email) ? 'email is not ASCII' : undefined),
    object: (user, password) => entryOf(user, password, baseDn),
  }),
  write: (entry) => entry.map(([attribute, value]) => `${line(attribute, value)}\n`).join(''),
  head: () => '',
  separator: '\n',
  tail: '',
})

const CLASSES = ['top', 'person', 'organizationalPerson', 'inetOrgPerson'].map((name): [string, string] => [
  'objectClass',
  name,
])

function entryOf(user: SystemUser, password: string, baseDn: string): LdapEntry {
  const { id, username, email, role } = user
  const { first, last } = namesOf(user)
  return [
    ['dn', `${writeRdn('uid', username)},${baseDn}`],
    ...CLASSES,
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

/** Printable ASCII that does not begin like base64 or a URL, and has no blank at an end. The rest is base64 (RFC 2849). */
const SAFE = /^(?![ :<])[ -~]*(?<! )$/

const line = (attribute: string, value: string): string =>
  SAFE.test(value) ? `${attribute}: ${value}` : `${attribute}:: ${base64(value)}`
