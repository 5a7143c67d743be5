import { DEFAULT_BASE_DN, ldif } from '../../src/systems/ldif.ts'
import { suite } from '../suite.ts'
import { checkFormat, sameJson, userWith } from './check-format.ts'
import {
  paddedBase64,
  rawBase64,
  type Verify,
  verifyBcrypt,
  verifyPbkdf2,
  verifyPhcArgon2id,
  verifyScrypt,
} from './strict.ts'

const t = suite()

/* `slapadd` itself reads the file in real-imports.pg.test.ts. */

const format = ldif(DEFAULT_BASE_DN)

/** Reads an entry by the grammar of RFC 2849, without folded lines. */
function readEntry(text: string): [string, string][] {
  if (!text.endsWith('\n')) throw new Error('no line end')
  return text.slice(0, -1).split('\n').map(readLine)
}

function readLine(line: string): [string, string] {
  const [, attribute = '', sign, value = ''] = /^([A-Za-z][A-Za-z0-9-]*)(::?) (.*)$/s.exec(line) ?? []
  if (sign === '::') return [attribute, Buffer.from(paddedBase64(value)).toString()]
  const isSafe = sign === ':' && !/[\0\r\n]|^[ :<]| $|\P{ASCII}/u.test(value)
  if (!isSafe) throw new Error(`line: ${line}`)
  return [attribute, value]
}

/** Reads the value of a relative distinguished name by the grammar of RFC 4514 section 3. */
function readValue(text: string): string {
  const parts = text.match(/\\[0-9a-fA-F]{2}|\\[\\"+,;<> #=]|[^"+,;<>\\]/gsu) ?? []
  if (parts.join('') !== text || text.includes('\0') || /^[ #]|(?<!\\) $/.test(text)) throw new Error(`value: ${text}`)
  const bytes = parts.map((part) => {
    const isHex = /^\\[0-9a-fA-F]{2}$/.test(part)
    return isHex ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part.length > 1 ? part.replace(/^\\/, '') : part)
  })
  return Buffer.concat(bytes).toString()
}

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** The number that characters of crypt(3) stand for, the lowest six bits first. */
const numberOf = (text: string) => [...text].reduceRight((sum, letter) => sum * 64 + ALPHABET.indexOf(letter), 0)

function verifyOf(stored: string): Verify {
  const [, scheme, value = ''] = /^\{([A-Z0-9-]+)\}(.*)$/.exec(stored) ?? []
  if (scheme === 'ARGON2') return verifyPhcArgon2id(value)
  if (scheme === 'PBKDF2-SHA256') {
    if (value.includes('+')) throw new Error('pw-pbkdf2 writes + as a full stop')
    const [iterations, salt, hash] = value.split('$').map((part) => part.replaceAll('.', '+'))
    const bytes = { salt: rawBase64(salt), hash: rawBase64(hash) }
    if (bytes.salt.length !== 16 || bytes.hash.length !== 32) throw new Error('fixed lengths of pw-pbkdf2')
    return verifyPbkdf2(bytes, Number(iterations))
  }
  sameJson(scheme, 'CRYPT')
  if (value.startsWith('$2')) return verifyBcrypt(value)
  const [, n = '', r = '', p = '', salt = '', text = ''] = /^\$7\$(.)(.{5})(.{5})([^$]+)\$(.{43})$/.exec(value) ?? []
  const groups = text.match(/.{1,4}/g) ?? []
  const hash = Buffer.concat(
    groups.map((group) => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32LE(numberOf(group))
      return bytes.subarray(0, group.length - 1)
    }),
  )
  return verifyScrypt({ salt: Buffer.from(salt), hash }, 2 ** numberOf(n), numberOf(r), numberOf(p))
}

t.test('entries are LDIF, name the user, and have passwords that OpenLDAP verifies', (t) =>
  checkFormat(t, {
    system: 'OpenLDAP',
    format,
    refuses: (settings) => settings.algorithm === 'pbkdf2_sha256' && settings.salt_bytes !== 16,
    read: (text, user) => {
      const entry = readEntry(text)
      const values = Object.fromEntries(entry)
      sameJson(entry[0]?.[0], 'dn')
      const classes = entry.filter(([attribute]) => attribute === 'objectClass')
      if (entry.length - classes.length !== Object.keys(values).length - 1) throw new Error('an attribute occurs twice')
      const [, value = ''] = /^uid=(.*),ou=people,dc=example,dc=com$/s.exec(values['dn'] ?? '') ?? []
      sameJson([readValue(value), values['uid'], values['mail']], [user.username, user.username, user.email])
      sameJson([values['objectClass'], values['employeeNumber']], ['inetOrgPerson', user.id])
      if (!values['cn'] || !values['sn']) throw new Error('inetOrgPerson requires cn and sn')
      return verifyOf(values['userPassword'] ?? '')
    },
  }),
)

t.test('names are escaped as RFC 4514 requires, and base64 where RFC 2849 requires it', (t) => {
  const password_hash = `$2b$04$${'a'.repeat(53)}`
  const lines = (username: string) => {
    const rendering = format.render(userWith({ username, custom_attributes: {}, password_hash }))
    return 'rendered' in rendering ? format.write(rendering.rendered).split('\n') : []
  }
  const names: [username: string, dn: string, uid: string][] = [
    ['a', 'a', 'uid: a'],
    ['#a,b+c"d\\e<f>g;h=i', '\\23a\\2Cb\\2Bc\\22d\\5Ce\\3Cf\\3Eg\\3Bh\\3Di', 'uid: #a,b+c"d\\e<f>g;h=i'],
    [':a', ':a', 'uid:: OmE='],
    ['<a', '\\3Ca', 'uid:: PGE='],
    [' a ', '\\20a\\20', 'uid:: IGEg'],
    [' ', '\\20', 'uid:: IA=='],
    ['a b', 'a b', 'uid: a b'],
  ]
  for (const [username, dn, uid] of names) {
    t.equal(lines(username)[0], `dn: uid=${dn},${DEFAULT_BASE_DN}`)
    t.ok(lines(username).includes(uid), uid)
  }
  for (const username of ['é', 'a\nb']) {
    t.equal(lines(username)[0], `dn:: ${Buffer.from(`uid=${username},${DEFAULT_BASE_DN}`).toString('base64')}`)
  }
  t.end()
})

t.test('an address that is not ASCII is refused', (t) => {
  const user = userWith({ email: 'ü@example.com', password_hash: `$2b$04$${'a'.repeat(53)}` })
  t.match(format.render(user), { refusal: { code: 'value_invalid', detail: /email is not ASCII/ } })
  t.end()
})
